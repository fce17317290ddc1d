// DamagedFixture.swift - the damaged parts of Tests/Golden/samples/corrupt.json.

import Foundation
import TestSupport

enum DamagedFixture {
    /// The name of the directory of a case.
    static func name(_ golden: JSON) throws -> String {
        golden["new_name"].isPresent ? try golden["new_name"].string : try golden["part"].string
    }

    /// Copies the part of a case and damages the copy; its path.
    static func copy(_ golden: JSON, to path: String) throws -> String {
        try FileManager.default.copyItem(
            atPath: Golden.path("samples/parts/" + (try golden["part"].string)), toPath: path)
        for operation in try golden["ops"].array {
            let file = URL(fileURLWithPath: path + "/" + (try operation["file"].string))
            var bytes = (try? Data(contentsOf: file)).map { [UInt8]($0) } ?? []
            if try operation["delete"].bool {
                try FileManager.default.removeItem(at: file)
                continue
            }
            if try operation["replace"].bool {
                bytes = try operation["replace_hex"].isPresent ? operation["replace_hex"].bytes : []
            }
            if operation["append_hex"].isPresent { bytes += try operation["append_hex"].bytes }
            if operation["truncate_to"].isPresent { bytes = Array(bytes[..<(try operation["truncate_to"].int)]) }
            if operation["xor_at"].isPresent { bytes[try operation["xor_at"].int] ^= UInt8(try operation["xor"].int) }
            try Data(bytes).write(to: file)
        }
        return path
    }
}
