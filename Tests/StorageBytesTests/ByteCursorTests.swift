// ByteCursorTests.swift - the checked cursor on every small input: it never passes the end, and a failed read leaves it
// where it was.

import StorageBytes
import TestSupport
import Testing

@Suite struct ByteCursorTests {
    @Test func readsOfEveryCountInEveryLength() {
        for length in 0...12 {
            let bytes = [UInt8](0..<UInt8(length))
            bytes.withUnsafeBytes { raw in
                for count in [-1, 0, 1, 2, 7, 11, 12, 13, Int.max, Int.min] {
                    var cursor = ByteCursor(raw)
                    let read = try? cursor.readBytes(count)
                    #expect((read != nil) == (count >= 0 && count <= length), "\(count) of \(length)")
                    #expect(cursor.remaining == length - (read?.count ?? 0))
                    if let read { #expect(Array(read) == Array(bytes.prefix(count))) }
                }
            }
        }
    }

    @Test func errorsSayWhy() {
        func failure(_ bytes: [UInt8], _ body: (inout ByteCursor) throws(DecodeError) -> Void) -> DecodeError? {
            bytes.withUnsafeBytes { raw in
                var cursor = ByteCursor(raw)
                do throws(DecodeError) {
                    try body(&cursor)
                    return nil
                } catch { return error }
            }
        }
        #expect(failure([]) { cursor throws(DecodeError) in _ = try cursor.readByte() } == .truncated)
        #expect(failure([0x80]) { cursor throws(DecodeError) in _ = try cursor.readVarint() } == .truncated)
        let overlong = [UInt8](repeating: 0x80, count: 10) + [1]
        #expect(failure(overlong) { cursor throws(DecodeError) in _ = try cursor.readVarint() } == .overlongVarint)
        #expect(failure([5, 1]) { cursor throws(DecodeError) in _ = try cursor.readPrefixed() } == .truncated)
        #expect(failure([5]) { cursor throws(DecodeError) in try cursor.finish() } == .trailingBytes)
        #expect(failure([]) { cursor throws(DecodeError) in try cursor.finish() } == nil)
    }

    /// All inputs of up to three bytes: whatever is read lies inside, and encoding it again gives a form that decodes
    /// to the same value.
    @Test func everyInputOfThreeBytes() {
        var failures = 0
        func check(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { raw in
                var cursor = ByteCursor(raw)
                guard let value = try? cursor.readVarint() else {
                    if cursor.remaining != bytes.count { failures += 1 }
                    return
                }
                var again = RawBuffer()
                again.appendVarint(value)
                if again.count > bytes.count - cursor.remaining { failures += 1 }
                var second = ByteCursor(again.bytes)
                if (try? second.readVarint()) != value || second.remaining != 0 { failures += 1 }
            }
        }
        check([])
        let interesting: [UInt8] = [0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xFE, 0xFF]
        for a in UInt8.min...UInt8.max {
            check([a])
            for b in interesting {
                check([a, b])
                for c in interesting { check([a, b, c]) }
            }
        }
        #expect(failures == 0)
    }
}
