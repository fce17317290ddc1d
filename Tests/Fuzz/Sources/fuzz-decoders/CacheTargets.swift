// CacheTargets.swift - files of the caches of the engine (Sources/StorageEngine/CacheProbes.swift).

import StorageEngine

@Sendable func fuzzCacheFile(_ input: UnsafeRawBufferPointer) { _ = CacheProbes.cacheFile(input) }
