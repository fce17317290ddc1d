// JSONTextTests.swift - strings of JSON have the escapes of JSON only.

import StorageBytes
import Testing

@Suite struct JSONTextTests {
    @Test func controlCharacters() {
        #expect(JSONText.quote("a\"b\\c\n\u{1}é") == #""a\"b\\c\n\u0001é""#)
        #expect(JSONText.quote("\u{7}\u{8}\u{B}\u{C}\u{1}\n\r\t") == #""\u0007\u0008\u000b\u000c\u0001\n\r\t""#)
        #expect(JSONText.quote("\u{7F}\u{200B}é\"\\") == "\"\u{7F}\u{200B}é\\\"\\\\\"")
    }
}
