from tests.conftest import *
from tests.loop.conftest import *


def test_it(in_use, studio):
    in_use.correct(rails(40))
    t = time.time()
    r = studio("improve", in_use.folder)
    print(r.code, r.out, r.err, time.time() - t)
    for f in sorted((in_use.workspace.root / "rounds").rglob("*")):
        print(f)
    print((in_use.workspace.root / "rounds/rails/001/report.md").read_text())
    print((in_use.workspace.root / "rounds/rails/001/state.json").read_text())
    print(studio("improve", in_use.folder, "--status").out)
    print(studio("improve", in_use.folder))
