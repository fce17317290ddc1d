// ExactCopy.swift - bytes without room behind them.

/// Calls `body` with a copy of `bytes` that ends where its allocation ends, so that the address sanitizer sees any read
/// behind it.
public func withExactCopy<Result, Failure: Error>(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
) throws(Failure) -> Result {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return try body(UnsafeRawBufferPointer(copy))
}
