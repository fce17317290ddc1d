// TSIDCache+File.swift - a TSID cache in a file, so that a restarted storage knows its series at once.
//
//   magic          8 bytes   "tsidfprt"
//   version        u32       1
//   key            1120      the key of the fingerprints
//   validity       u32 n     followed by n bytes: what the caller said the entries belong to (the index)
//   checksum       u64
//   chunk *        u32 n     1...26214 entries
//                  n * 40    fingerprint high, low; metricGroupID; jobID, instanceID (u32); metricID
//                  u64       checksum
//   end            u32       0
//                  u64       number of all entries
//                  u64       checksum
//
// Integers are big-endian. A checksum is the XXH64 of the whole file before it: chunks cannot change places. Nothing follows
// the end. Loading reads chunk by chunk and believes nothing that has no good checksum; whatever is wrong, the cache is
// empty and has a new key. It takes memory for as many entries as the file has room for, at most `bytesMax`, and one chunk.
//
// The fingerprint key is in the file: whoever can read it can make names that collide. It needs the protection of the data.
//
// Threads: saving reads beside all other calls, and waits for the file outside of the locks.

import StorageBytes
import StorageFiles
import StorageRuntime

/// What came of loading a cache.
public enum TSIDCacheLoad: Sendable, Equatable {
    /// The file was read; so many entries were in it (the cache keeps those that fit).
    case loaded(entries: Int)
    /// There is no file.
    case absent
    /// The file ends too early.
    case truncated
    /// The file is not of this kind, or its bytes have changed.
    case corrupted
    /// Another version of the format.
    case otherVersion
    /// The entries belong to something else.
    case otherValidity
    /// The file system refused.
    case unreadable(StorageError)
}

private enum CacheFile {
    static let magic = [UInt8]("tsidfprt".utf8)
    static let version: UInt32 = 1
    static let entryBytes = 40
    static let chunkEntriesMax = (1 << 20) / entryBytes
    static let validityBytesMax = 64 << 10
    static let checksumBytes = 8
}

extension TSIDCache {
    /// Writes the entries that are not old into a file, which replaces one of that name completely or not at all.
    ///
    /// - Parameter validity: What the entries belong to, up to 64 KiB; loading asks for the same.
    /// - Throws: What the file system throws; `.invalidArgument` when the cache was reset meanwhile, or when `validity` is
    ///   too long. Nothing is replaced then.
    public func save(to path: String, validity: [UInt8], files: any FileSystem) throws(StorageError) {
        guard validity.count <= CacheFile.validityBytesMax else {
            throw StorageError(.invalidArgument, "a validity of \(validity.count) bytes", path: path)
        }
        let resetsBefore = resetCount
        try files.replaceAtomically(at: path) { (file) throws(StorageError) in
            try write(to: file, validity)
            if resetCount != resetsBefore {
                throw StorageError(.invalidArgument, "the cache was reset while it was being saved", path: path)
            }
        }
    }

    private func write(to file: any WritableFile, _ validity: [UInt8]) throws(StorageError) {
        let digest = Digest()
        var buffer = RawBuffer(capacity: CacheFile.validityBytesMax)
        buffer.append(CacheFile.magic)
        buffer.appendBigEndian(CacheFile.version)
        buffer.append(key.storedBytes)
        buffer.appendBigEndian(UInt32(validity.count))
        buffer.append(validity)
        try write(&buffer, to: file, digest)
        var total: UInt64 = 0
        var entries = RawBuffer(capacity: CacheFile.chunkEntriesMax * CacheFile.entryBytes)
        for shard in shards.indices {
            var next: Int? = 0
            while let bucket = next {
                // A bucket more than asked for still fits the chunk.
                let room = CacheFile.chunkEntriesMax - entries.count / CacheFile.entryBytes - Bucket.slots
                next = self.entries(ofShard: shard, from: bucket, countMax: max(room, 1)) { fingerprint, value in
                    entries.appendBigEndian(fingerprint.high)
                    entries.appendBigEndian(fingerprint.low)
                    entries.appendBigEndian(value.metricGroupID)
                    entries.appendBigEndian(value.jobID)
                    entries.appendBigEndian(value.instanceID)
                    entries.appendBigEndian(value.metricID)
                }
                let isLast = next == nil && shard == shards.count - 1
                let isFull = entries.count >= (CacheFile.chunkEntriesMax - 2 * Bucket.slots) * CacheFile.entryBytes
                guard isFull || isLast, entries.count > 0 else { continue }
                let count = entries.count / CacheFile.entryBytes
                total += UInt64(count)
                buffer.appendBigEndian(UInt32(count))
                buffer.append(entries.bytes)
                entries.removeAll()
                try write(&buffer, to: file, digest)
            }
        }
        buffer.appendBigEndian(UInt32(0))
        buffer.appendBigEndian(total)
        try write(&buffer, to: file, digest)
    }

    /// Writes the buffer and the checksum of everything so far.
    private func write(_ buffer: inout RawBuffer, to file: any WritableFile, _ digest: Digest) throws(StorageError) {
        digest.add(buffer.bytes)
        let checksum = digest.value
        buffer.appendBigEndian(checksum)
        withUnsafeBytes(of: checksum.bigEndian) { digest.add($0) }
        try file.write(buffer.bytes)
        buffer.removeAll()
    }

    /// Reads a cache from a file.
    ///
    /// - Parameters:
    ///   - validity: What ``save(to:validity:files:)`` was given.
    ///   - bytesMax: As of the cache to be made; entries beyond it are given up.
    ///   - newKey: Makes the key of the cache when the file cannot be used.
    /// - Returns: The cache, empty unless the outcome is `.loaded`.
    public static func load(
        from path: String, validity: [UInt8], bytesMax: Int, files: any FileSystem, newKey: () -> FingerprintKey
    ) -> (cache: TSIDCache, outcome: TSIDCacheLoad) {
        let file: any ReadableFile
        do throws(StorageError) {
            file = try files.open(path)
        } catch {
            let outcome = error.kind == .notFound ? TSIDCacheLoad.absent : .unreadable(error)
            return (TSIDCache(key: newKey(), bytesMax: bytesMax), outcome)
        }
        return load(file, validity: validity, bytesMax: bytesMax, newKey: newKey)
    }

    /// As ``load(from:validity:bytesMax:files:newKey:)``, from an open file.
    static func load(
        _ file: any ReadableFile, validity: [UInt8], bytesMax: Int, newKey: () -> FingerprintKey
    ) -> (cache: TSIDCache, outcome: TSIDCacheLoad) {
        let outcome: TSIDCacheLoad
        do throws(CacheFileReader.Failure) {
            var reader = CacheFileReader(file)
            let cache = TSIDCache(key: try reader.readHeader(validity), bytesMax: bytesMax)
            return (cache, .loaded(entries: try reader.readEntries(into: cache)))
        } catch {
            switch error {
            case .refused(let reason): outcome = reason
            case .failed(let error): outcome = error.kind == .corrupted ? .truncated : .unreadable(error)
            }
        }
        return (TSIDCache(key: newKey(), bytesMax: bytesMax), outcome)
    }
}

/// Reads a cache file from its beginning to its end. One thread.
private struct CacheFileReader: ~Copyable {
    enum Failure: Error {
        case refused(TSIDCacheLoad)
        case failed(StorageError)
    }

    private let file: any ReadableFile
    private let digest = Digest()
    private var offset = 0
    private var buffer = RawBuffer()

    init(_ file: any ReadableFile) { self.file = file }

    private var rest: Int { file.sizeBytes - offset }

    /// Replaces the buffer by the next `count` bytes.
    private mutating func read(_ count: Int) throws(Failure) {
        guard count <= rest else { throw .refused(.truncated) }
        buffer.removeAll()
        buffer.reserve(count)
        do throws(StorageError) {
            try file.read(at: offset, into: UnsafeMutableRawBufferPointer(start: buffer.base, count: count))
        } catch { throw .failed(error) }
        buffer.commit(count)
        offset += count
        digest.add(buffer.bytes)
    }

    /// Reads a checksum and compares it with that of everything before it.
    private mutating func checkSum() throws(Failure) {
        let expected = digest.value
        try read(CacheFile.checksumBytes)
        guard BigEndian.load64(buffer.base) == expected else { throw .refused(.corrupted) }
    }

    mutating func readHeader(_ validity: [UInt8]) throws(Failure) -> FingerprintKey {
        try read(CacheFile.magic.count + 4)
        guard buffer.bytes.starts(with: CacheFile.magic) else { throw .refused(.corrupted) }
        let version = BigEndian.load32(buffer.base + CacheFile.magic.count)
        guard version == CacheFile.version else { throw .refused(.otherVersion) }
        try read(FingerprintKey.storedBytesCount)
        let key = FingerprintKey(storedBytes: buffer.bytes)
        try read(4)
        let validityCount = Int(BigEndian.load32(buffer.base))
        guard validityCount <= CacheFile.validityBytesMax else { throw .refused(.corrupted) }
        try read(validityCount)
        let isValid = buffer.bytes.elementsEqual(validity)
        try checkSum()
        guard let key else { throw .refused(.corrupted) }
        guard isValid else { throw .refused(.otherValidity) }
        return key
    }

    mutating func readEntries(into cache: TSIDCache) throws(Failure) -> Int {
        var total = 0
        cache.reserve(entries: rest / CacheFile.entryBytes)
        while true {
            try read(4)
            let count = Int(BigEndian.load32(buffer.base))
            guard count > 0 else { break }
            guard count <= CacheFile.chunkEntriesMax else { throw .refused(.corrupted) }
            let checksum = try readChunk(count)
            guard checksum else { throw .refused(.corrupted) }
            for index in 0..<count {
                let entry = buffer.base + index * CacheFile.entryBytes
                cache.insert(
                    Fingerprint(high: BigEndian.load64(entry), low: BigEndian.load64(entry + 8)),
                    CachedTSID(
                        metricGroupID: BigEndian.load64(entry + 16), jobID: BigEndian.load32(entry + 24),
                        instanceID: BigEndian.load32(entry + 28), metricID: BigEndian.load64(entry + 32)))
            }
            total += count
        }
        try read(8)
        guard BigEndian.load64(buffer.base) == UInt64(total) else { throw .refused(.corrupted) }
        try checkSum()
        guard rest == 0 else { throw .refused(.corrupted) }
        return total
    }

    /// Reads the entries of a chunk and tells whether the checksum behind them is good. The entries stay in the buffer.
    private mutating func readChunk(_ count: Int) throws(Failure) -> Bool {
        try read(count * CacheFile.entryBytes)
        let expected = digest.value
        var stored: UInt64 = 0
        guard CacheFile.checksumBytes <= rest else { throw .refused(.truncated) }
        do throws(StorageError) {
            try withUnsafeMutableBytes(of: &stored) { (bytes) throws(StorageError) in
                try file.read(at: offset, into: bytes)
            }
        } catch { throw .failed(error) }
        offset += CacheFile.checksumBytes
        withUnsafeBytes(of: stored) { digest.add($0) }
        return UInt64(bigEndian: stored) == expected
    }
}
