// HTMLTemplate.swift - the page of report.html as a Mustache template (package swift-mustache): one file, no script, nothing
// loaded from anywhere. Values are escaped by the template; only drawings, which escape their own texts, go in as they are.
//
// Every drawing comes twice, laid out for a laptop and for a phone; the style sheet shows one of them. Colours are
// variables that follow the reader's light or dark setting; `class="light"` or `"dark"` on <html> overrides it.

/// The template.
enum HTMLTemplate {
    static let text = """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <meta name="color-scheme" content="light dark"/>
        <link rel="icon" href="data:,"/>
        <title>{{title}}</title>
        <style>
        \(styles)
        </style>
        </head>
        <body>
        <header>
        <h1>{{title}}</h1>
        <p class="sub">{{subtitle}}</p>
        {{#runs}}
        <section class="verdict">
        {{#isOneOfSeveral}}<h2>{{name}}</h2>{{/isOneOfSeveral}}
        <p>{{#badges}}<span class="badge {{style}}">{{text}}</span> {{/badges}}</p>
        {{#reasons}}<p class="reason">{{.}}</p>{{/reasons}}
        </section>
        {{/runs}}
        </header>
        <main>
        <div class="tiles">
        {{#tiles}}<div class="tile"><div class="value">{{value}}</div><div class="label">{{label}}</div></div>
        {{/tiles}}
        </div>
        {{#sections}}
        <section>
        <h2>{{title}}</h2>
        {{#text}}<p>{{.}}</p>{{/text}}
        <div class="plots">
        {{#plots}}
        <figure class="{{style}}">
        <figcaption>{{title}}</figcaption>
        <div class="w">{{{wide}}}</div><div class="n">{{{narrow}}}</div>
        {{#formulas}}<p class="formula"><code>{{name}}</code> = {{formula}}</p>{{/formulas}}
        {{#note}}<p class="formula">{{.}}</p>{{/note}}
        </figure>
        {{/plots}}
        </div>
        {{#table}}
        <div class="scroll"><table class="data">
        <thead><tr>{{#head}}<th>{{.}}</th>{{/head}}</tr></thead>
        <tbody>
        {{#rows}}<tr>{{#cells}}<td>{{.}}</td>{{/cells}}</tr>
        {{/rows}}
        </tbody></table></div>
        {{/table}}
        </section>
        {{/sections}}
        <section id="figures">
        <h2>All figures</h2>
        <p>Better: up is higher, down is lower. Repeats: exact to the digit, near almost, timed as times do.</p>
        {{#groups}}
        <h3>{{title}}</h3>
        <div class="scroll"><table class="figures">
        <thead><tr><th>figure and formula</th>{{#columns}}<th class="num">{{.}}</th>{{/columns}}<th>unit</th><th>better</th><th>repeats</th></tr></thead>
        <tbody>
        {{#figures}}<tr id="{{name}}"><td><code>{{name}}</code><div class="formula">{{formula}}</div></td>{{#values}}<td class="num" title="{{exact}}">{{text}}</td>{{/values}}<td>{{unit}}</td><td>{{better}}</td><td>{{kind}}</td></tr>
        {{/figures}}
        </tbody></table></div>
        {{/groups}}
        </section>
        </main>
        <footer><p>{{footer}}</p></footer>
        </body>
        </html>

        """

    private static let styles = """
        \(colours)
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:1120px;padding:0 16px 32px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
        h1{font-size:24px;margin:24px 0 0}h2{font-size:19px;margin:36px 0 8px;border-bottom:1px solid var(--line);padding-bottom:4px}h3{font-size:16px;margin:24px 0 6px}
        p{margin:6px 0}.sub,.formula{color:var(--dim)}.sub{overflow-wrap:anywhere}.formula{font-size:13px;line-height:1.4}
        code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
        .badge{display:inline-block;border-radius:999px;border:1px solid currentColor;padding:1px 10px;font-size:13px;margin:2px 0}
        .good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.reason{color:var(--bad)}
        .tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:8px;margin-top:14px}
        .tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 14px;min-width:0}
        .value{font-size:21px;font-weight:600;font-variant-numeric:tabular-nums}.label{color:var(--dim);font-size:13px}
        .plots{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:24px 32px}figure{margin:8px 0;min-width:0}.full{grid-column:1/-1}
        figcaption{font-weight:600;margin-bottom:6px}svg{display:block;width:100%;height:auto}.n{display:none}
        .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
        th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top;font-variant-numeric:tabular-nums}
        th{font-weight:600;color:var(--dim);font-size:13px}.num{text-align:right;white-space:nowrap}td.num{font-weight:600}
        .data th,.data td:not(:last-child){white-space:nowrap}.data td:last-child{min-width:96px}.figures td:first-child{width:62%}footer{margin-top:40px;color:var(--dim);font-size:13px}
        @media(max-width:720px){.plots{grid-template-columns:minmax(0,1fr)}.w{display:none}.n{display:block}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tile{padding:6px 10px}
        .figures td:first-child{min-width:190px}.value{font-size:18px}h1{font-size:20px}body{font-size:14px}}
        \(drawing)
        @media print{.tile,figure{break-inside:avoid}}
        """

    private static let colours = """
        :root{--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d8dee4;--card:#f6f8fa;--band:#eef1f4;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700;
        --c0:#0969da;--c1:#bc4c00;--c2:#8250df;--c3:#1a7f37;--c4:#bf3989;--c5:#6e7781}
        @media(prefers-color-scheme:dark){:root:not(.light){\(dark)}}
        :root.dark{\(dark)}
        """

    /// Classes of the drawings.
    private static let drawing = """
        svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums;fill:var(--fg)}
        svg .t{fill:var(--dim)}svg .h{fill:var(--dim);font-size:12px}svg .v{font-weight:600}svg .b{fill:var(--bg);font-size:10px}
        .g{stroke:var(--line);stroke-width:1;fill:none}.e{stroke:var(--dim);stroke-width:1;fill:none}.bg{fill:var(--band)}.p0{fill:var(--band);opacity:.55}.p1{fill:none}
        .s0,.s1,.s2,.s3,.s4,.s5{fill:none;stroke-width:1.8;stroke-linejoin:round}.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}
        .f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}
        .a2{fill:var(--c2);fill-opacity:.35;stroke:var(--c2);stroke-width:1}.a4{fill:var(--c4);fill-opacity:.2;stroke:none}
        """

    /// The style of a drawing that is a file of its own.
    static let pictureStyles = """
        \(colours)
        \(drawing)
        .ground{fill:var(--bg)}svg .title{font-size:15px;font-weight:600}
        """

    private static let dark = """
        --bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#30363d;--card:#161b22;--band:#1c2128;--good:#3fb950;--bad:#f85149;--warn:#d29922;--c0:#58a6ff;--c1:#f0883e;--c2:#bc8cff;--c3:#3fb950;--c4:#f778ba;--c5:#8b949e
        """
}
