"""What the browser still says of a control that code has given another value is no wish."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from ui.held import held

    value = st.session_state.setdefault("value", 3)

    def change(value: int) -> None:
        st.session_state["value"] = value

    st.number_input("Size", 0, 99, value, **held("size", value, change))
    if st.button("Seven"):
        st.session_state["value"] = 7
        st.rerun()


def test_a_value_that_code_has_chosen_is_another_control_s() -> None:
    app = AppTest.from_function(page).run()
    before = app.number_input[0]
    app.button[0].click().run()
    after = app.number_input[0]
    assert after.value == 7
    assert after.id != before.id
    # What a browser sends that has not drawn the new value yet.
    stale = after.root.get_widget_states()
    stale.widgets[0].id, stale.widgets[0].double_value = before.id, 3.0
    app._run(stale)
    assert app.session_state["value"] == 7
    assert app.number_input[0].value == 7


def test_a_value_that_the_reader_has_chosen_stays_the_same_control_s() -> None:
    app = AppTest.from_function(page).run()
    before = app.number_input[0].id
    for value in (5, 6, 5):
        app.number_input[0].set_value(value).run()
        assert app.number_input[0].id == before
        assert app.session_state["value"] == value
