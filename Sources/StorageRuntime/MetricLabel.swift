// MetricLabel.swift - values of labels in the text format of metrics.

/// Values of labels.
public enum MetricLabel {
    /// A value between quotes, as it stands behind `key=`: backslashes, quotes and line ends are escaped.
    public static func quoted(_ value: String) -> String {
        var quoted = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
