// JUnitReport.swift - junit.xml: the checks of a run as test cases, for the pages of CI systems. A run that is not comparable
// fails the case of what was missed; an alert of production is told as skipped, since some profiles are made to raise it.

/// Makes junit.xml.
enum JUnitReport {
    private struct Case {
        var suite: String
        var name: String
        var failure: String?
        var skipped: String?
    }

    /// The text.
    static func text(_ record: RunRecord) -> String {
        let cases = cases(record)
        let failures = cases.count { $0.failure != nil }
        let skipped = cases.count { $0.skipped != nil }
        var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        text += "<testsuites>\n  <testsuite name=\"\(XMLText.escape("mergeset-bench." + record.profile))\""
        text += " tests=\"\(cases.count)\" failures=\"\(failures)\" errors=\"0\" skipped=\"\(skipped)\""
        text += " time=\"\(TextFormat.fixed(record.provenance.durationSeconds, 3))\""
        text += " timestamp=\"\(XMLText.escape(String(record.provenance.startedAt.prefix { $0 != "Z" })))\">\n"
        for test in cases {
            text += "    <testcase classname=\"\(XMLText.escape(record.profile + "." + test.suite))\""
            text += " name=\"\(XMLText.escape(test.name))\" time=\"0\""
            if let failure = test.failure {
                text += "><failure message=\"\(XMLText.escape(failure))\"/></testcase>\n"
            } else if let skipped = test.skipped {
                text += "><skipped message=\"\(XMLText.escape(skipped))\"/></testcase>\n"
            } else {
                text += "/>\n"
            }
        }
        return text + "  </testsuite>\n</testsuites>\n"
    }

    private static func cases(_ record: RunRecord) -> [Case] {
        let observed = record.observed
        var cases = [
            Case(
                suite: "checks", name: "read back",
                failure: observed.readBackMissing == 0
                    ? nil : "\(observed.readBackMissing) of \(observed.readBackItems) answers are wrong")
        ]
        if let found = record.figure("seeks_found_ratio") {
            cases.append(
                Case(
                    suite: "checks", name: "seeks find their item",
                    failure: found == 1 ? nil : TextFormat.percent(found) + " were found"))
        }
        for line in record.shape ?? [] where line.isWithin != nil {
            cases.append(
                Case(
                    suite: "shape", name: line.figure,
                    failure: line.isWithin == true ? nil : "observed \(line.observed), configured \(line.configured)"))
        }
        let reasons = record.notComparableBecause
        cases.append(
            Case(suite: "run", name: "comparable", failure: reasons.isEmpty ? nil : reasons.joined(separator: "; ")))
        for alert in record.alerts ?? [] {
            let text = "ALERT: \(TextFormat.short(alert.value)), limit \(TextFormat.short(alert.limit))"
            cases.append(Case(suite: "alerts", name: alert.rule, skipped: alert.verdict == "PASS" ? nil : text))
        }
        return cases
    }
}
