// HTTPTests.swift - the recorded HTTP calls against a node, and the metrics page against the recorded list of names.

import TestSupport
import Testing

@testable import StorageNode

@Suite(.serialized) struct HTTPTests {
    @Test func recordedCalls() throws {
        let calls = try Golden.json("rpc/vmstorage_http.json")["calls"].array
        #expect(calls.count == 40)
        let notes = try calls.map { $0["note"].isPresent ? try $0["note"].string : "" }
        let restart = try #require(notes.firstIndex { $0.hasPrefix("server restarted") })
        let directory = try TemporaryDirectory()
        for (range, flags) in [
            (0..<restart, [String]()),
            (
                restart..<calls.count,
                [
                    "-snapshotAuthKey=sss", "-forceMergeAuthKey=mmm", "-forceFlushAuthKey=fff",
                    "-http.pathPrefix=/pre/fix",
                ]
            ),
        ] {
            let node = try TestNode(flags, directory: directory)
            var names: [String: String] = [:]  // snapshot of the recording -> snapshot here
            for index in range {
                let call = calls[index]["http"]
                var target = try call["path_and_query"].string
                for (recorded, here) in names { target = target.replacing(recorded, with: here) }
                let wantsGzip = call["response_body_hex"].isPresent
                let answer = try node.http(
                    try call["method"].string, target, headers: wantsGzip ? ["Accept-Encoding": "gzip"] : [:])
                let what = "call \(index): \(target)"
                #expect(answer.status == (try call["status"].int), "\(what)")
                for (name, value) in try call["response_headers"].object where name != "X-Server-Hostname" {
                    #expect(answer.headers[name.lowercased()] == (try value.string), "\(what): \(name)")
                }
                #expect(answer.headers["x-server-hostname"]?.isEmpty == false, "\(what)")
                if wantsGzip {
                    #expect(answer.body.starts(with: [0x1F, 0x8B, 8]))
                    continue
                }
                var expected = try call["response_body"].string
                var body = String(decoding: answer.body, as: UTF8.self)
                if target.hasSuffix("/snapshot/create") {
                    names[try field(expected, "snapshot")] = try field(body, "snapshot")
                }
                for (recorded, here) in names { expected = expected.replacing(recorded, with: here) }
                body = normalised(body)
                expected = normalised(expected)
                #expect(body == expected, "\(what)")
            }
            try node.node.stop()
        }
    }

    /// Texts without remote ports and without what depends on where the node listens and lies.
    private func normalised(_ text: String) -> String {
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var line = String(line)
            if line.hasPrefix("remoteAddr: "), let rest = line.firstIndex(of: ";") {
                #expect(line.hasPrefix("remoteAddr: \"127.0.0.1:"))
                line = "remoteAddr" + line[rest...]
            }
            for flag in ["-httpListenAddr=", "-storageDataPath=", "-vminsertAddr=", "-vmselectAddr="]
            where line.hasPrefix(flag) {
                line = flag
            }
            lines.append(line)
        }
        return lines.joined(separator: "\n")
    }

    private func field(_ json: String, _ name: String) throws -> String {
        let parts = json.split(separator: "\"").map(String.init)
        let place = try #require(parts.lastIndex(of: name))
        return parts[place + 2]
    }

    @Test func argumentsOfForms() throws {
        let node = try TestNode(["-snapshotAuthKey=a b&c"])
        #expect(try node.http("POST", "/snapshot/list", body: "authKey=a+b%26c").status == 200)
        let refused = try node.http("POST", "/snapshot/list?x=1", body: "authKey=no")
        #expect(refused.status == 400)
        #expect(String(decoding: refused.body, as: UTF8.self).contains("requestURI: /snapshot/list?x=1&authKey=no; "))
        #expect(try node.http("GET", "/snapshot/create").status == 400)
        #expect(try node.node.listSnapshots() == [])
        try node.node.stop()
    }

    // MARK: metrics

    /// Names of the recorded page that have no meaning here: the runtime of Go, caches and counters of searches that are not
    /// answered yet, buffered streams, profiles.
    static let withoutMeaning = [
        "go_", "vm_gogc", "vm_http_requests_total{path=\"/debug/pprof", "vm_nfs_", "vm_filestream_buffered_",
        "vm_filestream_read_duration", "vm_filestream_write_duration", "vm_filestream_readers",
        "vm_filestream_real_read_", "type=\"promql/regexp\"", "type=\"storage/regexps\"",
        "type=\"indexdb/tagFilters\"", "type=\"storage/prefetchedMetricIDs\"", "vm_cache_collisions_total",
        "vm_composite_filter_", "vm_date_metric_id_cache_", "vm_date_range_", "vm_global_search_calls_total",
        "vm_index_search_duration_seconds", "vm_slow_metric_name_loads_total", "vm_missing_tsids_for_metric_id_total",
        "vm_references{type=\"indexdb\"", "vm_log_messages_total", "vm_app_version",
    ]

    @Test func metricNames() throws {
        let node = try TestNode()
        _ = try node.http("GET", "/metrics")
        _ = try node.http("GET", "/metrics")
        let page = try String(decoding: node.http("GET", "/metrics").body, as: UTF8.self)
        let lines = page.split(separator: "\n").map(String.init)
        var series: [String] = []
        for line in lines {
            #expect(!line.hasPrefix("#"))
            let space = try #require(line.lastIndex(of: " "))
            #expect(Double(line[line.index(after: space)...]) != nil, "\(line)")
            series.append(String(line[..<space]))
        }
        #expect(Set(series).count == series.count)
        let present = Set(series.map(generalised))
        let recorded = try Golden.json("rpc/vmstorage_metrics.json")
        var missing: [String] = []
        for entry in try recorded["series"].array {
            let name = try entry.string
            if !Self.withoutMeaning.contains(where: { name.contains($0) }), !present.contains(generalised(name)) {
                missing.append(name)
            }
        }
        #expect(missing == [])
        // The registered metrics are sorted by their bytes; flags come last, by name, with the recorded defaults.
        let registered = series.prefix { !$0.hasPrefix("process_") }
        #expect(registered.elementsEqual(registered.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }))
        let flags = try recorded["flag_series"].array.map { entry in
            let (name, value) = (try entry["name"].string, try entry["value_when_default"].string)
            return "flag{name=\"\(name)\", value=\"\(value)\", is_set=\"false\"}"
        }
        let here = series.filter { $0.hasPrefix("flag{") }
        #expect(here.count == flags.count)
        #expect(Set(flags).subtracting(here).allSatisfy { $0.contains("Addr\"") || isSetByTest($0) })
        try node.node.stop()
    }

    private func isSetByTest(_ series: String) -> Bool {
        ["storageDataPath", "retentionPeriod", "memory.allowedBytes"].contains { series.contains("\"\($0)\"") }
    }

    /// Without addresses, paths and the recorder's placeholders.
    private func generalised(_ series: String) -> String {
        var text = series
        for (label, word) in [("addr=\"", "ADDR"), ("path=\"/tmp", "PATH"), ("path=\"<", "PATH")] {
            while let start = text.firstRange(of: label),
                let end = text[start.upperBound...].firstIndex(of: "\"")
            {
                text.replaceSubrange(start.lowerBound...end, with: word)
            }
        }
        return text
    }
}
