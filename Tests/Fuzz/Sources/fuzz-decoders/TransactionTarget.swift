// TransactionTarget.swift - transaction files of tables and partitions: what is accepted can be written again, and executing
// it changes nothing outside of the roots.

import StorageBytes
import StorageFiles
import StorageRuntime

@Sendable func fuzzTransaction(_ input: UnsafeRawBufferPointer) {
    let bytes = [UInt8](input)
    let file = "/d/small/m/txn/0000000000000001"
    do throws(StorageError) {
        let transaction = try PartTransaction(parsing: bytes, path: file, allowsRemoval: true)
        let again = try PartTransaction(parsing: Array(transaction.text.utf8), path: file, allowsRemoval: true)
        require(again == transaction, "a transaction changes when it is written again")
        try execute(transaction, file)
    } catch {
        require(error.path != nil, "\(error)")
    }
}

private func execute(_ transaction: PartTransaction, _ file: String) throws(StorageError) {
    let files = SimulatedFileSystem(recording: .nothing)
    let roots = ["/d/small/m", "/d/big/m"]
    for root in roots {
        for name in ["txn", "tmp", "tmp/0000000000000001", "part"] {
            try files.makeDirectory(root + "/" + name, parents: true)
        }
    }
    let outside = ["/d/small/n/part", "/d/other", "/x"]
    for path in outside { try files.makeDirectory(path, parents: true) }
    do throws(StorageError) {
        try transaction.execute(inside: roots, file: file, on: files)
    } catch {
        require(error.path != nil, "\(error)")
    }
    for path in roots + outside {
        require((try? files.kind(of: path)) == .directory, "\(path) is gone")
    }
}
