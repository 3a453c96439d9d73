"""`viscum up` and `viscum down`, but for what they do: tests/netns has that."""

from viscum_agent.once import Once


def test_a_bug_on_the_way_is_said_and_is_not_the_end(tmp_path, capfd):
    (tmp_path / "viscum").write_text("")
    once = Once(str(tmp_path), [], True)
    once.loop.after(0, lambda: [][1])
    once.loop.after(0, once.loop.stop)
    once.loop.run()
    said = capfd.readouterr().err
    assert "a bug, please report it: IndexError" in said
    assert "Traceback" in said
