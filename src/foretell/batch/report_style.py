"""How the report for people looks."""

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#16181d;--soft:#5d636f;--line:#e4e6ea;--faint:#f5f6f8;--accent:#2a6fdb;
--wash:#2a6fdb1f;--predict:#2a6fdb;--read:#17a07a;--write:#e09000;--decode:#8a5cd1;--preprocess:#1a9fc4;
--idle:#e4e6ea;--good:#12803c;--fair:#a35f00;
--bad:#c62828}
@media (prefers-color-scheme:dark){:root{--page:#131519;--ink:#eceef2;--soft:#9aa1ae;--line:#2b2f37;--faint:#1b1e24;
--accent:#6ea3f5;--wash:#6ea3f526;--predict:#5b95f0;--read:#2bb58d;--write:#d99a1f;--decode:#a987e0;--preprocess:#46b8d8;
--idle:#2b2f37;--good:#4cc07a;
--fair:#e0a84a;--bad:#f2706b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
sans-serif;-webkit-text-size-adjust:100%}
main{max-width:880px;margin:0 auto;padding:48px 24px 64px}
h1{font-size:34px;line-height:1.2;letter-spacing:-.02em;font-weight:650;margin:10px 0 0;text-wrap:balance}
h2{font-size:17px;font-weight:620;margin:0}
h3{font-size:14px;font-weight:600;margin:18px 0 4px}h3 .soft{font-weight:400;margin-left:6px}p{margin:0}
section{margin-top:48px}
section>p{color:var(--soft);margin:2px 0 18px}
header p{margin-top:10px}header .error+p{margin-top:12px}
.about{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center;margin:0}
.soft,small{color:var(--soft)}
.mark{display:inline-flex;align-items:center;gap:7px;font-weight:600}
.mark::before{content:"";width:9px;height:9px;border-radius:50%;background:currentColor}
.good{color:var(--good)}.fair{color:var(--fair)}.bad{color:var(--bad)}
header .error{color:var(--ink);background:var(--faint);border-left:3px solid var(--bad);border-radius:4px;
padding:12px 14px;margin:18px 0 0;overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:24px 20px;margin:32px 0 0;
padding:22px 0;border:solid var(--line);border-width:1px 0}
.figures dt{color:var(--soft);font-size:13px}
.figures dd{margin:2px 0 0;font-size:25px;font-weight:600;letter-spacing:-.01em;line-height:1.25}
.figures small{display:block;font-size:13px;font-weight:400;letter-spacing:0;margin-top:2px}
.plot{position:relative;padding:6px 0 26px 46px}
.plot svg{display:block;width:100%;height:210px;overflow:visible}
.low svg{height:120px}
.plot span{position:absolute;font-size:12px;line-height:1;color:var(--soft);font-variant-numeric:tabular-nums;
white-space:nowrap}
.beside{position:absolute;left:0;top:6px;bottom:26px;width:38px}
.beside span{right:0;transform:translateY(50%)}
.below{position:relative;height:0}
.below span{top:9px;transform:translateX(-50%)}
.below span:first-child{transform:none}
.grid{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke;fill:none}
.area{fill:var(--wash)}
.line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;vector-effect:non-scaling-stroke}
.mean{fill:none;stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4;vector-effect:non-scaling-stroke}
.bar{fill:var(--accent)}
.hit{fill:transparent}.hit:hover{fill:var(--ink);fill-opacity:.08}
path.decode{fill:var(--decode)}path.preprocess{fill:var(--preprocess)}
i.decode,span.decode{background:var(--decode)}i.preprocess,span.preprocess{background:var(--preprocess)}
path.predict{fill:var(--predict)}path.read{fill:var(--read)}path.write{fill:var(--write)}
i.predict,span.predict{background:var(--predict)}i.read,span.read{background:var(--read)}
i.write,span.write{background:var(--write)}i.idle,span.idle{background:var(--idle)}
.stack{display:flex;gap:2px;height:14px;border-radius:4px;overflow:hidden}
.stack span{flex-basis:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 22px;list-style:none;padding:0;margin:12px 0 22px;font-size:14px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:9px 16px 9px 0;border-top:1px solid var(--line);
overflow-wrap:anywhere;font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-size:13px;border-top:0}
tbody th{font-weight:600;white-space:nowrap}
.number{font-variant-numeric:tabular-nums;white-space:nowrap;text-align:right}
.meter{width:110px;min-width:60px}
.meter span{display:block;height:8px;margin-top:7px;border-radius:3px;background:var(--fair)}
.events{margin:0;padding-left:18px;font-size:14px;overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:max-content 1fr;margin:12px 0 0;font-size:14px}
.facts dt,.facts dd{border-top:1px solid var(--line);padding:9px 0;margin:0}
.facts dt{color:var(--soft);padding-right:28px}
.facts dd{overflow-wrap:anywhere}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
@media (max-width:560px){main{padding:28px 16px 40px}h1{font-size:26px}.figures{grid-template-columns:1fr 1fr}
.figures dd{font-size:21px}.plot svg{height:170px}.low svg{height:110px}section{margin-top:38px}.meter{display:none}
th,td{padding-right:12px}
.facts{display:block}.facts dt{border-bottom:0;padding-bottom:0}.facts dd{border-top:0;padding-top:0}}
@media print{:root{--page:#fff;--ink:#16181d;--soft:#5d636f;--line:#d5d8dd;--accent:#2a6fdb;--wash:#2a6fdb1f;
--predict:#2a6fdb;--read:#17a07a;--write:#e09000;--decode:#8a5cd1;--preprocess:#1a9fc4;
--idle:#e4e6ea;--good:#12803c;--fair:#a35f00;--bad:#c62828;
--faint:#f5f6f8}main{max-width:none;padding:0}section{break-inside:avoid;margin-top:28px}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
""".replace("\n", "")
