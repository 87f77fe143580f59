"""What a run costs, and how that grows with one of its sizes."""

from __future__ import annotations

import streamlit as st

from tracer import Trace
from tracer.views import cost, growth
from ui.language import say
from ui.run import in_bytes, in_flops, times
from ui.text import code, escaped


def cost_tab(trace: Trace) -> None:
    if not trace.costs:
        st.info(
            say("What the steps cost follows from the formulas of the sizes, once these are found.")
        )
        return
    memory, flops = sum(c.bytes for c in trace.costs), sum(c.flops for c in trace.costs)
    with st.container(key="cost-totals", horizontal=True, gap="large"):
        st.metric(say("Memory of all results"), in_bytes(memory), width="content")
        st.metric(say("Floating-point operations"), in_flops(flops), width="content")
        st.metric(say("Parameters"), f"{trace.parameters:,}", width="content")
    names = growth.choices(trace)
    if names:
        _curve(trace, names)
    _steps(trace)


def _curve(trace: Trace, names: list[str]) -> None:
    here = {symbol.name: symbol.value for symbol in trace.symbols}
    if st.session_state.get("cost-size") not in names:
        st.session_state["cost-size"] = names[0]
    name = st.segmented_control(
        say("Against"), names, key="cost-size", required=True, help=say("The other sizes stay.")
    )
    if name is None:
        return
    size = here[name]
    grown = growth.doubled(trace, name)
    if grown is not None:
        memory, flops = map(times, grown)
        st.markdown(
            say(
                "Doubling **{name}** from {size} to {twice}: memory {memory}, operations {flops}.",
                name=escaped(name),
                size=f"{size:,}",
                twice=f"{2 * size:,}",
                memory=memory,
                flops=flops,
            )
        )
        _unknown(trace)
    st.plotly_chart(
        cost.figure(trace, name, memory=say("memory"), flops=say("operations")),
        key="cost-chart",
        config={"displayModeBar": False},
    )


def _unknown(trace: Trace) -> None:
    """Why it is not known how the whole grows."""
    steps = growth.unknown(trace, "flops") or growth.unknown(trace, "bytes")
    if steps:
        st.caption(
            say(
                "Not known, since for {code} (step {number}) no formula fits all the runs at other "
                "sizes.",
                code=code(" ".join(steps[0].expression.split())),
                number=steps[0].index + 1,
            )
        )


def _steps(trace: Trace) -> None:
    """The steps that cost most, with the formulas of what they take."""
    found = dict.fromkeys(
        [*cost.largest(trace.costs, "bytes", 6), *cost.largest(trace.costs, "flops", 6)]
    )
    if not found:
        return
    rows = [(trace.steps[index], trace.costs[index]) for index in found]

    def text(formula: object) -> str:
        return "" if formula is None else str(getattr(formula, "text", ""))

    st.markdown(say("The steps that take most:"))
    st.dataframe(
        {
            say("Step"): [f"{step.index + 1}" for step, _ in rows],
            say("Expression"): [" ".join(step.expression.split())[:80] for step, _ in rows],
            say("Memory"): [in_bytes(each.bytes) for _, each in rows],
            say("Elements"): [text(each.elements_formula) for _, each in rows],
            say("Operations"): [in_flops(each.flops) if each.flops else "" for _, each in rows],
            say("Formula"): [text(each.flops_formula) if each.flops else "" for _, each in rows],
            say("Grows with"): [text(each.flops_growth or each.memory_growth) for _, each in rows],
        },
        hide_index=True,
        key="cost-steps",
    )
