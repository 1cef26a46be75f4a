"""The fixture itself: what the other browser tests stand on."""


def test_lab_runs_cells_and_tells_failures(lab):
    lab.open(["print('one')", "1 + 1", "1 / 0", "print('never')"])
    assert lab.run_all() is False
    assert lab.text(0) == "one\n"
    assert lab.text(1) == "2"
    assert lab.errors() == ["cell 2: ZeroDivisionError: division by zero"]
    assert lab.text(3) == ""
    assert lab.run("print('last')") == "last\n"
    lab.screenshot("lab")
    assert lab.strangers == []
    assert lab.faults == []
