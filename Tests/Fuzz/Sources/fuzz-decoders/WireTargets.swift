// WireTargets.swift - bytes as they come from a peer: streams and packets, rows, requests (Sources/ClusterWire).
//
// The first byte of an input says how the rest is cut into pieces, and whether it is compressed.

import ClusterWire
import StorageBytes

/// Lends the rest of the input in pieces.
private func inPieces(_ input: UnsafeRawBufferPointer, _ body: (inout ByteCursor) throws -> Void) {
    guard let first = input.first else { return }
    let size = first & 0x7F == 0 ? input.count : Int(first & 0x7F) * 7
    var rest = input.dropFirst()
    while rest.count > 0 {
        let piece = RawBuffer(copying: UnsafeRawBufferPointer(rebasing: rest.prefix(size)))
        rest = rest.dropFirst(size)
        var cursor = ByteCursor(piece.bytes)
        do { try body(&cursor) } catch { return }
    }
}

@Sendable func fuzzWireFrames(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    var reader = PacketReader(StreamDecoder(isCompressed: first & 0x80 != 0))
    var decoded = 0
    inPieces(input) { cursor in
        while true {
            switch try reader.advance(&cursor, workBytesMax: 4096) {
            case .needsInput:
                require(cursor.remaining == 0, "bytes are left and more are wanted")
                return
            case .needsMemory(let bytes):
                require(bytes > 0 && bytes <= 16 << 20, "\(bytes) bytes at once")
                reader.grantMemory(bytes)
            case .hasWorked: decoded += 4096
            case .packet(let packet):
                decoded += packet.count
                require(packet.payload().count == packet.count, "a packet is not complete")
                _ = countRows(packet)
            }
            // An input of a few bytes may unpack to gigabytes; that is the budget's business.
            if decoded > 32 << 20 { throw WireError(.tooBig, "enough") }
        }
    }
}

/// Rows and bytes of their names; nil for broken framing.
private func countRows(_ packet: Packet) -> [Int]? {
    var decoder = RowDecoder(packet)
    let rows = UnsafeMutablePointer<Int>.allocate(capacity: 100)
    defer { rows.deallocate() }
    var all: [Int] = []
    while true {
        guard
            let count = try? decoder.next(
                into: rows, rowsMax: 100,
                make: { name, timestamp, value in
                    // Every byte of the name can be read.
                    name.reduce(Int(truncatingIfNeeded: timestamp) ^ Int(truncatingIfNeeded: value.bitPattern)) {
                        $0 &* 31 &+ Int($1)
                    }
                })
        else { return nil }
        if count == 0 {
            require(decoder.remaining == 0, "\(decoder.remaining) bytes are left behind the last row")
            return all
        }
        all += UnsafeMutableBufferPointer(start: rows, count: count)
    }
}

@Sendable func fuzzWireRows(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let payload = UnsafeRawBufferPointer(rebasing: input.dropFirst())
    let whole = countRows(Packet(copying: payload, chunkBytes: max(1, payload.count)))
    let cut = countRows(Packet(copying: payload, chunkBytes: Int(first) + 1))
    require(whole == cut, "rows depend on how the payload is cut")
}

@Sendable func fuzzWireRequests(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    var reader = SelectReader(StreamDecoder(isCompressed: first & 0x80 != 0))
    var granted = 0
    inPieces(input) { cursor in
        while true {
            switch try reader.advance(&cursor) {
            case .needsInput:
                require(cursor.remaining == 0, "bytes are left and more are wanted")
                return
            case .needsMemory(let bytes):
                granted += bytes
                if granted > 64 << 20 { throw WireError(.tooBig, "enough") }
                reader.grantMemory(bytes)
            case .request(let request):
                for name in request.names {
                    let bytes = UnsafeRawBufferPointer(rebasing: request.bytes[name.start..<name.start + name.count])
                    _ = RawNameCheck.problem(of: bytes)
                }
            }
        }
    }
}
