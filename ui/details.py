"""What lies under the player: graph, table, inspector, claims, source. One function per tab."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping
from html import escape as html_escape
from typing import TYPE_CHECKING, Any

import streamlit as st

import modules
from modules.lesson import Description, check_claims
from modules.posts import POSTS
from tracer import Trace
from tracer.sentences import Said
from tracer.views import graph
from ui import loading, player, shipped
from ui.held import chosen
from ui.language import language, say, told
from ui.run import Run, tensor
from ui.source import own_source, source_tab
from ui.takeaway import downloads, step_table
from ui.text import escaped, post_name, shown
from ui.view import View

if TYPE_CHECKING:
    from torch import Tensor

SIGNS = {
    "slip": ":red[:material/error:]",
    "depends": ":orange[:material/help:]",
    "agrees": ":green[:material/check_circle:]",
}


@st.fragment
def details(
    run: Run,
    view: View | None,
    compute: Callable[[int], Tensor] | None = None,
    query: Mapping[str, str] | None = None,
    source: str = "",
) -> None:
    """The tabs for a run; claims and a paper only with the `view` of a lesson, and the inspector
    only where tensors can be made again: of a lesson, or by `compute`.  Only the open one is
    computed.  `query` is what an address says of a run that is no lesson's, `source` its text."""
    names = {"Graph": say("Graph"), "Table": say("Table")}
    comes = compute is not None and run.trace.failure is None
    if run.trace.costs or comes or view is not None:
        # There before the formulas are: a tab that came with them would move the others.
        names["Cost"] = say("Cost")
    if view is not None:
        compute = functools.partial(tensor, view)
    if compute is not None:
        names["Inspector"] = say("Inspector")
    if view is not None:
        names["Claims"] = say("Claims")
    names["Source"] = say("Source")
    name = _opened(names)
    if name != "Table":
        # Of a table that is gone the browser may still say what was chosen, when it has lost the
        # server and comes back: of the next one that says nothing.
        st.session_state.pop("table-key", None)
    if name == "Graph":
        _graph(run)
    elif name == "Table":
        _table(run.trace)
    elif name == "Cost":
        from ui.cost import cost_tab  # plotly takes its time to load

        cost_tab(run.trace)
    elif compute is not None and name == "Inspector":
        loading.now()
        from ui.inspector import inspector

        inspector(run, compute)
    elif view is not None and name == "Claims":
        loading.now()
        _claims(shipped.lesson(view.lesson))
    elif view is not None:
        source_tab(run.trace, shipped.lesson(view.lesson), shipped.source(view.lesson))
    else:
        own_source(run.trace)
    elsewhere = "opened" if compute is None else "module"
    downloads(run, view, elsewhere, query or {}, source)


def _opened(names: dict[str, str]) -> str:
    """Which of the tabs the reader has open.  Streamlit's own tabs are not held: two of them chosen
    within moments, or one and another language, and the browser shows another than the page."""
    with st.container(key="tabs"):
        return chosen(say("What is shown below"), names, "open-tab", f"tab/{language()}")


# --- graph ------------------------------------------------------------------------------------


def _graph(run: Run) -> None:
    trace = run.trace
    if not trace.steps:
        st.info(say("This run has no steps to draw."))
        return
    calls = {call.index: call for call in graph.levels(trace)}
    choices: list[int | None] = list(calls)
    if graph.too_large(trace):
        st.caption(
            say(
                "{count} steps are too many for one graph: one module at a time.",
                count=f"{len(trace.steps):,}",
            )
        )
    else:
        choices.insert(0, None)

    def name(choice: int | None) -> str:
        if choice is None:
            return say("Every step")
        call = calls[choice]
        return say(
            "Inside {module} · {count} steps",
            module=call.module or call.type,
            count=call.stop - call.start,
        )

    level = st.selectbox(say("Level"), choices, format_func=name, key="graph-level", width=420)
    if level is not None and _nodes(trace, level) > graph.MAX_NODES:
        st.info(
            say(
                "{module} still has more than {limit} nodes: choose a smaller module.",
                module=escaped(name(level)),
                limit=graph.MAX_NODES,
            )
        )
        return
    with st.container(key="graph"):
        st.graphviz_chart(run.dot(level))
    player.tie_graph("graph")
    st.caption(say("Click a node to go to its step. Shaded steps have learned weights."))


def _nodes(trace: Trace, level: int) -> int:
    call = trace.calls[level]
    inside = [c for c in trace.calls if c.parent == level]
    return call.stop - call.start - sum(c.stop - c.start - 1 for c in inside if c.stop > c.start)


# --- table ------------------------------------------------------------------------------------


def _headings() -> dict[str, str]:
    """What the table's columns are called on the page; a file of it has their own names."""
    return {
        "step": say("step"),
        "name": say("name"),
        "expression": say("expression"),
        "from": say("from"),
        "to": say("to"),
        "weights": say("weights"),
        "operation": say("operation"),
        "arguments": say("arguments"),
        "module": say("module"),
        "line": say("line"),
        "type": say("type"),
        "min": say("min"),
        "max": say("max"),
        "mean": say("mean"),
    }


def _table(trace: Trace) -> None:
    named = _headings()
    number = st.column_config.NumberColumn
    table: Any = st.dataframe(
        step_table(trace),
        key=st.session_state.setdefault("table-key", f"table/{uuid.uuid4().hex}"),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=min(600, 38 + 35 * max(1, len(trace.steps))),
        column_config={
            **{name: st.column_config.Column(word) for name, word in named.items()},
            "step": number(named["step"], width=60),
            "line": number(named["line"], width=60, format="%d"),
            "expression": st.column_config.TextColumn(named["expression"], width=300),
            "ms": number(format="%.2f", width=70),
            **{name: number(named[name], format="compact") for name in ("min", "max", "mean")},
        },
    )
    st.caption(say("Choose a row to go to its step. Click a heading to sort."))
    # The player goes there once: when the page is drawn anew, with formulas perhaps, the reader may
    # be elsewhere, and the browser may say again what is chosen still.
    rows = table.selection.rows
    if rows != st.session_state.get("chosen-rows"):
        st.session_state["chosen-rows"] = list(rows)
        st.session_state["row-request"] = uuid.uuid4().hex
    if rows:
        player.go_to(str(rows[0]), st.session_state["row-request"])


# --- claims -----------------------------------------------------------------------------------


@st.cache_data(max_entries=32, show_spinner=False)
def _checked(key: str) -> list[tuple[str, str, str, str | Said, str, str]]:
    return [
        (c.claim.verdict, c.claim.says, c.claim.quote, c.found, c.claim.why, c.claim.preset)
        for c in check_claims(modules.lesson(key))
    ]


def _claims(chosen: Description) -> None:
    with st.spinner(say("Checking every claim against a run …")):
        claims = _checked(chosen.key)
    if not claims:
        st.info(
            say(
                "There is no shape in {post} that {title} could be checked against.",
                post=post_name(POSTS[chosen.post]),
                title=say(chosen.title),
            )
        )
        return
    words = {
        "slip": say("slip of the post"),
        "depends": say("depends"),
        "agrees": say("agrees"),
    }
    counts = {verdict: sum(c[0] == verdict for c in claims) for verdict in SIGNS}
    st.markdown(
        say(
            "What {post} says about this module, each line checked against a run just now: "
            "{counts}.",
            post=post_name(POSTS[chosen.post]),
            counts=" · ".join(f"{SIGNS[v]} {words[v]} {counts[v]}" for v in SIGNS if counts[v]),
        )
    )
    order = list(SIGNS)
    with st.container(key="claims", gap="xsmall"):
        for verdict, says, quote, found, why, preset in sorted(
            claims, key=lambda c: order.index(c[0])
        ):
            with st.container(border=True, gap="xxsmall"):
                st.markdown(f"{SIGNS[verdict]} **{words[verdict]}** · {escaped(say(says))}")
                # The posts are in Chinese, whatever the page is in.
                st.html(f'<p lang="zh">“{html_escape(shown(quote))}”</p>')
                st.markdown(
                    say(
                        "Found: **{found}** with preset *{preset}*.",
                        found=escaped(found if isinstance(found, str) else told(found)),
                        preset=escaped(say(preset)),
                    )
                )
                if why:
                    st.caption(escaped(say(why)))
