// AdminRoutes.swift - the endpoints and their exact answers (docs/format/vmstorage-process.md, 2).
//
// A request that gives a wrong key gets the same error whatever it asked for, and nothing is done. Methods are not looked
// at, except for "/".
//
// Threads: any.

import NodeSupport
import StorageBytes
import StorageRuntime
import Synchronization

/// Answers requests.
public final class AdminRoutes: Sendable {
    private let options: AdminOptions
    private let backend: any AdminBackend
    private let log: NodeLog
    private let clock: any StorageClock
    private let page = Protected<(text: String, madeNanoseconds: UInt64)?>(nil)
    private let stopsAtNanoseconds = Atomic<UInt64>(0)
    /// Counters of the endpoints.
    public let counters = AdminCounters()

    /// Routes to `backend`.
    public init(
        options: AdminOptions, backend: any AdminBackend, log: NodeLog, clock: any StorageClock = SystemClock()
    ) {
        self.options = options
        self.backend = backend
        self.log = log
        self.clock = clock
    }

    /// From now on `/health` says that the server stops at the given moment of the monotonic clock.
    public func announceStop(atMonotonicNanoseconds moment: UInt64) {
        stopsAtNanoseconds.store(max(moment, 1), ordering: .relaxed)
    }

    /// The answer to a request. May take as long as what was asked for.
    public func answer(_ request: AdminRequest) -> AdminResponse {
        counters.requests.wrappingAdd(1, ordering: .relaxed)
        var path = request.path.isEmpty ? "/" : request.path
        let prefix = options.pathPrefix
        if !prefix.isEmpty, path != "/" {
            if path == prefix {
                path = "/"
            } else if path.hasPrefix(prefix + "/") {
                path.removeFirst(prefix.count)
            } else {
                return fail(
                    request,
                    "cannot get canonical path: missing `-pathPrefix=\(QuotedText.quote(prefix))` in the requested "
                        + "path: \(QuotedText.quote(path))")
            }
        }
        return common(path, request) ?? storage(path, request) ?? unsupported(path, request)
    }

    private func common(_ path: String, _ request: AdminRequest) -> AdminResponse? {
        switch path {
        case "/":
            guard request.method == "GET" else { return nil }
            return .text(
                "vmstorage - a component of VictoriaMetrics cluster. See docs at "
                    + "https://docs.victoriametrics.com/Cluster-VictoriaMetrics.html")
        case "/health": return health()
        case "/metrics":
            counters.add(path)
            return counters.metricsDuration.measure { .text(metricsPage()) }
        case "/flags": return .text(backend.flagsPage())
        case "/-/healthy": return .text("VictoriaMetrics is Healthy.\n")
        case "/-/ready": return .text("VictoriaMetrics is Ready.\n")
        case "/ping": return AdminResponse(status: request.argument("verbose") == "true" ? 200 : 204)
        case "/favicon.ico":
            counters.add(path)
            return AdminResponse(status: 204)
        default: return nil
        }
    }

    private func health() -> AdminResponse {
        let stopsAt = stopsAtNanoseconds.load(ordering: .relaxed)
        guard stopsAt > 0 else { return .text("OK") }
        let now = clock.monotonicNanoseconds
        let left = stopsAt > now ? (stopsAt - now) / 1_000_000 : 0
        let digits = String(left % 1000)
        let fraction = String(repeating: "0", count: 3 - digits.count) + digits
        return .text(
            "The server is in delayed shutdown mode, which will end in \(left / 1000).\(fraction)s\n", status: 503)
    }

    /// The page, at most one second old.
    private func metricsPage() -> String {
        let now = clock.monotonicNanoseconds
        if let page = page.withLock({ $0 }), now - page.madeNanoseconds < 1_000_000_000 { return page.text }
        let text = backend.metricsPage()
        page.withLock { $0 = (text, now) }
        return text
    }

    private func storage(_ path: String, _ request: AdminRequest) -> AdminResponse? {
        if path.hasPrefix("/snapshot") {
            return refusal(request, options.snapshotAuthKey, "snapshotAuthKey") ?? snapshot(path, request)
        }
        switch path {
        case "/internal/force_flush":
            if let refusal = refusal(request, options.forceFlushAuthKey, "forceFlushAuthKey") { return refusal }
            log.info("flushing storage to make pending data available for reading")
            do throws(StorageError) { try backend.forceFlush() } catch {
                return failStorage("cannot flush the storage: \(error)")
            }
            return AdminResponse()
        case "/internal/force_merge":
            if let refusal = refusal(request, options.forceMergeAuthKey, "forceMergeAuthKey") { return refusal }
            backend.startForcedMerge(prefix: request.argument("partition_prefix"))
            return AdminResponse()
        default: return nil
        }
    }

    private func snapshot(_ path: String, _ request: AdminRequest) -> AdminResponse? {
        switch path {
        case "/snapshot/create":
            do throws(StorageError) {
                return .json(#"{"status":"ok","snapshot":\#(JSONText.quote(try backend.createSnapshot()))}"#)
            } catch { return failStorage("cannot create snapshot: \(error)") }
        case "/snapshot/list":
            do throws(StorageError) {
                let names = try backend.listSnapshots().map { "\n" + JSONText.quote($0) }
                let list = names.isEmpty ? "" : names.joined(separator: ",") + "\n"
                return .json(#"{"status":"ok","snapshots":[\#(list)]}"#)
            } catch { return failStorage("cannot list snapshots: \(error)") }
        case "/snapshot/delete": return delete(request.argument("snapshot")) ?? .json(#"{"status":"ok"}"#)
        case "/snapshot/delete_all":
            do throws(StorageError) {
                for name in try backend.listSnapshots() {
                    if let failure = delete(name) { return failure }
                }
                return .json(#"{"status":"ok"}"#)
            } catch { return failStorage("cannot list snapshots: \(error)") }
        default: return nil
        }
    }

    /// The error answer, if the snapshot cannot be removed.
    private func delete(_ name: String) -> AdminResponse? {
        let quoted = QuotedText.quote(name)
        guard AdminRoutes.isSnapshotName(name) else {
            return failStorage("cannot delete snapshot \(quoted): invalid snapshotName \(quoted)")
        }
        do throws(StorageError) { try backend.deleteSnapshot(name) } catch {
            return failStorage("cannot delete snapshot \(quoted): \(error)")
        }
        return nil
    }

    /// 14 digits, a hyphen, hexadecimal digits.
    public static func isSnapshotName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard bytes.count > 15, bytes[14] == UInt8(ascii: "-") else { return false }
        return bytes[..<14].allSatisfy { $0 >= 48 && $0 <= 57 }
            && bytes[15...].allSatisfy {
                ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 70) || ($0 >= 97 && $0 <= 102)
            }
    }

    // MARK: errors

    private func refusal(_ request: AdminRequest, _ key: String, _ flag: String) -> AdminResponse? {
        let given = request.argument("authKey")
        if given == key { return nil }
        return fail(
            request,
            "invalid authKey \(QuotedText.quote(given)). It must match the value from -\(flag) command line flag")
    }

    private func unsupported(_ path: String, _ request: AdminRequest) -> AdminResponse {
        counters.unsupported.wrappingAdd(1, ordering: .relaxed)
        return fail(request, "unsupported path requested: \(QuotedText.quote(path))")
    }

    private func fail(_ request: AdminRequest, _ message: String) -> AdminResponse {
        var text = "remoteAddr: \(QuotedText.quote(request.remoteAddress))"
        if let forwarded = request.forwardedFor { text += ", X-Forwarded-For: \(QuotedText.quote(forwarded))" }
        text += "; requestURI: \(request.uri); \(message)"
        log.limited(.warn, text)
        var response = AdminResponse.text(text + "\n", status: 400)
        response.isNosniff = true
        return response
    }

    private func failStorage(_ message: String) -> AdminResponse {
        log.error(message)
        return .json(#"{"status":"error","msg":\#(JSONText.quote(message))}"#, status: 500)
    }
}
