/// The page's look. Colours are variables, so that both schemes and paper share every rule; each pair of text and
/// background has a contrast of 4.5 to 1 or more (WCAG 2.2, 1.4.3), and no colour says what no word says.
enum Stylesheet {
  static let text = colors + page + tables + figures + topology + paper

  private static let colors = """
    :root{--paper:#fff;--soft:#f4f6f9;--ink:#15181d;--dim:#545b66;--line:#d5dae1;--link:#0a55b8;
    --good:#0f6b2f;--good-soft:#e3f4e7;--bad:#b3181c;--bad-soft:#fde8e7;--open:#7a4d00;--open-soft:#fdf1d8;
    --there:#0a62d0;--back:#b34700;--fault:#7b1fa2;--load:#5b7ea8;--step:#2f6f9f;--mark:#666}
    @media (prefers-color-scheme:dark){:root{--paper:#14171c;--soft:#1d2128;--ink:#eceff3;--dim:#a8b0bc;
    --line:#39404b;--link:#8cbcff;--good:#7fdc98;--good-soft:#17351f;--bad:#ff9a94;--bad-soft:#43191a;
    --open:#f2c266;--open-soft:#3b2d10;--there:#6cb2ff;--back:#ffad66;--fault:#d9a2f0;--load:#7c9cc4;
    --step:#74b3e0;--mark:#aaa}}

    """

  private static let page = """
    *{box-sizing:border-box}
    body{margin:0 auto;padding:1.5rem;max-width:72rem;background:var(--paper);color:var(--ink);
    font:15px/1.5 system-ui,sans-serif}
    .defs{position:absolute}
    header{border-bottom:1px solid var(--line);margin-bottom:1.5rem}
    .brand{margin:0;color:var(--dim);font-weight:600}
    h1{margin:.1rem 0 .4rem;font-size:1.7rem}h1.passed{color:var(--good)}h1.failed{color:var(--bad)}
    h2{margin:2.2rem 0 .8rem;font-size:1.35rem}h3{margin:0 0 .5rem;font-size:1.08rem}h4{margin:1rem 0 .3rem}
    small{color:var(--dim);font-weight:400;font-size:.82em}
    a{color:var(--link)}code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
    pre{margin:0;white-space:pre-wrap;max-height:24em;overflow:auto}
    .passed{color:var(--good)}.failed,.error{color:var(--bad)}.undecided,.not-run{color:var(--open)}
    .badge{display:inline-block;padding:0 .5em;border-radius:.3em;font-size:.82em;white-space:nowrap}
    .badge.passed{background:var(--good-soft)}.badge.failed,.badge.error{background:var(--bad-soft)}
    .badge.undecided,.badge.not-run{background:var(--open-soft)}.badge.fault{color:var(--fault);border:1px solid}
    .facts{color:var(--dim);font-size:.88em}.problem{color:var(--bad);white-space:pre-wrap}
    .test{border:1px solid var(--line);border-left:.35rem solid var(--good);border-radius:.4rem;
    padding:.9rem 1.1rem;margin:1rem 0;color:var(--ink)}
    .test.failed,.test.error{border-left-color:var(--bad)}.test.undecided,.test.not-run{border-left-color:var(--open)}
    .steps{padding-left:1.5rem}.steps>li{margin:.45rem 0;color:var(--ink)}.steps p{margin:.15rem 0}
    .violations{margin:0;padding-left:1.1rem}
    :focus-visible{outline:3px solid var(--link);outline-offset:2px}

    """

  private static let tables = """
    .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0}
    th,td{padding:.28rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
    thead th{color:var(--dim);font-weight:600;font-size:.88em}tbody th{font-weight:600}
    caption{text-align:left;color:var(--dim);font-size:.88em;padding:.2rem 0}
    td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
    td.bar{width:130px;vertical-align:middle}.latency{fill:var(--there)}
    .moments tr.outage,.moments tr.fault{font-weight:600}.hops{font-size:.93em}
    dl.flow{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.4rem 0}
    dt{color:var(--dim)}dd{margin:0}
    details{margin:.4rem 0}summary{cursor:pointer;color:var(--link)}

    """

  private static let figures = """
    figure{margin:.8rem 0}figcaption{font-weight:600;font-size:.93em}
    .plot svg,.timeline svg{display:block;width:100%;height:auto;background:var(--soft);border-radius:.3rem}
    .plot svg{max-width:720px}
    .plot text,.timeline text{fill:var(--ink);font:11px system-ui,sans-serif;text-anchor:middle}
    .plot text.end,.timeline text.end{text-anchor:end}.plot text.start{text-anchor:start}
    .plot text.unit,.timeline text.unit{fill:var(--dim)}
    .grid{stroke:var(--line);fill:none}.axis{stroke:var(--dim);fill:none}
    .series{fill:none;stroke-width:1.8}.series.rate{stroke:var(--there)}
    .series.delay{stroke:var(--back);stroke-dasharray:5 3;stroke-linecap:round}
    .series.lost{stroke:var(--bad);stroke-width:2.5}
    rect.outage,.bar.outage rect{fill:var(--bad);fill-opacity:.75}.plot rect.outage{fill-opacity:.22}
    .bar.step rect{fill:var(--step)}.bar.fault rect{fill:var(--fault)}.bar.bad rect{fill:var(--bad)}
    .timeline .bar text{fill:var(--paper);font-weight:700}
    .loaded{fill:var(--load);fill-opacity:.55}.timeline text.note{fill:var(--bad);font-weight:600}
    .mark{stroke:var(--mark);stroke-width:1.5}.mark.converged{stroke:var(--good);stroke-width:3}
    .legend{margin:.2rem 0;color:var(--dim);font-size:.88em}
    .key{display:inline-block;width:1.5em;height:.7em;vertical-align:baseline;margin-left:.7em}
    .key.rate,.key.forward{height:0;border-top:3px solid var(--there);vertical-align:middle}
    .key.delay,.key.return{height:0;border-top:3px dashed var(--back);vertical-align:middle}
    .key.lost{width:.25em;background:var(--bad)}.key.outage{background:var(--bad);opacity:.6}
    .key.step{background:var(--step)}.key.fault{background:var(--fault)}.key.bad{background:var(--bad)}
    .key.load{background:var(--load);opacity:.7}.key.event{width:.15em;background:var(--mark)}
    .key.converged{width:.25em;background:var(--good)}
    .key.customer,.key.peer{height:0;border-top:2px solid var(--mark);vertical-align:middle}
    .key.peer{border-top-style:dashed}.key.dropped{color:var(--bad);font-weight:700;width:auto;height:auto}

    """

  private static let topology = """
    .drawing>input{position:absolute;opacity:0}
    .drawing>label{display:inline-block;margin:0 .3rem .35rem 0;padding:.12rem .7rem;border:1px solid var(--line);
    border-radius:1rem;cursor:pointer;font-size:.9em;background:var(--soft)}
    .drawing>input:checked+label{border-color:var(--there);box-shadow:inset 0 0 0 1px var(--there);font-weight:600}
    .drawing>input:focus-visible+label{outline:3px solid var(--link);outline-offset:2px}
    .hint{margin:0 0 .3rem;color:var(--dim);font-size:.9em}.at{color:var(--dim);font-weight:400}
    .topology{background:var(--soft);border-radius:.4rem;padding:.5rem;text-align:center}
    .topology figcaption{font-weight:400;color:var(--dim)}
    .topology svg{width:100%;height:auto;font:12px system-ui,sans-serif}
    .topology text{fill:var(--ink);text-anchor:middle}.topology .small{font-size:10px;fill:var(--dim)}
    .box{fill:var(--paper);stroke:var(--step);stroke-width:1.5}.box.host{stroke:var(--dim)}
    .box.switch{stroke:var(--open)}.box.daemon{stroke:var(--good)}
    .wire{stroke:var(--mark);stroke-width:1.3;fill:none}.arrow{fill:var(--mark)}
    path.path{fill:none;stroke-width:3.5}.path.rare{opacity:.5;stroke-width:2}
    .path.forward{stroke:var(--there);marker-end:url(#there)}
    .path.return{stroke:var(--back);stroke-dasharray:8 4;marker-end:url(#back)}
    marker .forward{fill:var(--there)}marker .return{fill:var(--back)}
    .halo{fill:none;stroke-width:2}.halo.forward{stroke:var(--there)}
    .halo.return{stroke:var(--back);stroke-dasharray:8 4}
    .drop circle{fill:var(--bad)}.drop path{stroke:var(--paper);stroke-width:2}
    [class^="flow-"]{display:none}

    """

  /// Every flow's hops are printed; the drawing shows the one that was chosen.
  private static let paper = """
    @media print{:root{--paper:#fff;--soft:#fff;--ink:#000;--dim:#444;--line:#bbb;--link:#000}
    body{max-width:none;padding:0;font-size:11pt}.drawing .detail{display:block}.hint{display:none}
    .test,figure,tr{break-inside:avoid}h2,h3{break-after:avoid}pre{max-height:none}
    details>summary{display:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}

    """
}
