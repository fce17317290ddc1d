// InputMemory.swift - what was read from sockets and not used up yet.
//
//   a read      2 KiB ... 64 KiB: twice as much after a full read, half after one that filled less than half
//
// The buffer of a read lives until its bytes are used up: a connection that is silent holds 2 KiB at most. Connections that
// wait for something keep theirs; when all of them together hold `bytesMax`, further reads take the smallest size.
//
// Threads: any; an allocator belongs to its connection.

import NIOCore
import Synchronization

/// Counts the bytes of buffers that connections hold.
public final class InputMemory: Sendable {
    /// Bytes up to which reads are of the size that the sender's speed asks for.
    public let bytesMax: Int
    private let held = Atomic<Int>(0), most = Atomic<Int>(0)

    /// Bytes of the smallest and of the largest read.
    public static let readBytesMin = 2048, readBytesMax = 64 << 10

    /// Nothing is held.
    public init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Bytes held now.
    public var bytes: Int { held.load(ordering: .relaxed) }

    /// The most that was held at a time.
    public var bytesPeak: Int { most.load(ordering: .relaxed) }

    /// Counts a buffer of so many bytes that is held from now on; negative, when it is gone.
    public func add(_ bytes: Int) {
        let now = held.wrappingAdd(bytes, ordering: .relaxed).newValue
        if now > most.load(ordering: .relaxed) { most.max(now, ordering: .relaxed) }
    }

    /// Whether all connections together hold what they may.
    public var isShort: Bool { bytes >= bytesMax }
}

/// Makes the buffer of each read anew, so that nobody keeps it when its bytes are used up.
struct InputAllocator: RecvByteBufferAllocator {
    private let memory: InputMemory
    private var readBytes = InputMemory.readBytesMin

    init(_ memory: InputMemory) { self.memory = memory }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: memory.isShort ? InputMemory.readBytesMin : readBytes)
    }

    mutating func record(actualReadBytes: Int) -> Bool {
        if actualReadBytes >= readBytes {
            readBytes = min(readBytes * 2, InputMemory.readBytesMax)
        } else if actualReadBytes < readBytes / 2 {
            readBytes = max(readBytes / 2, InputMemory.readBytesMin)
        }
        // As if the next buffer were larger: that is how NIO makes a new one.
        return true
    }

    /// None: NIO keeps no buffers for this allocator.
    func nextBufferSize() -> Int? { nil }
}
