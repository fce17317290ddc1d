import StorageFiles
import Testing

@Suite struct PathsTests {
    @Test(arguments: [
        ("", "."), (".", "."), ("/", "/"), ("//", "/"), ("a", "a"), ("a/", "a"), ("./a", "a"), ("a//b", "a/b"),
        ("a/./b", "a/b"), ("a/../b", "b"), ("a/..", "."), ("..", ".."), ("../..", "../.."), ("../a/../..", "../.."),
        ("/..", "/"), ("/../a", "/a"), ("/a/../../b", "/b"), ("/a/b/./../c/", "/a/c"), ("...", "..."),
    ]) func cleaning(path: String, expected: String) { #expect(Paths.clean(path) == expected) }

    @Test(arguments: [
        ("a", "."), ("/a", "/"), ("/", "/"), ("a/b", "a"), ("/a/b/", "/a"), (".", "."), ("..", "../.."),
        ("../..", "../../.."), ("a/../b/c", "b"),
    ]) func parents(path: String, expected: String) {
        #expect(Paths.parent(path) == Paths.clean(expected))
    }

    @Test func joiningAndSplitting() {
        #expect(Paths.join("a", "b") == "a/b")
        #expect(Paths.join("/", "b") == "/b")
        #expect(Paths.join("", "b") == "b")
        #expect(Paths.lastComponent("/a/b/") == "b")
        #expect(Paths.lastComponent("/") == "/")
        #expect(Paths.lastComponent("") == ".")
        #expect(Paths.components("/a//b") == ["a", "b"])
        // A combining mark behind a slash: one character for Swift, two names for the system.
        #expect(Paths.components("a/\u{301}b") == ["a", "\u{301}b"])
        #expect(Paths.precedes("Z", "a"))
    }

    @Test func insideMeansDeeper() {
        #expect(Paths.isStrictlyInside("/data/t/x", "/data/t"))
        #expect(!Paths.isStrictlyInside("/data/t", "/data/t"))
        #expect(!Paths.isStrictlyInside("/data/t2/x", "/data/t"))
        #expect(!Paths.isStrictlyInside("/data", "/data/t"))
        #expect(Paths.isStrictlyInside("/a", "/"))
        #expect(!Paths.isStrictlyInside("/", "/"))
        #expect(Paths.absolute("../x/./y", currentDirectory: "/data/t") == "/data/x/y")
        #expect(Paths.absolute("/x/..", currentDirectory: "/data") == "/")
    }
}
