import time
from conftest import *
def test_try(router, page):
    router.runs()
    t=time.time()
    page.open(STATUS)
    print("open", time.time()-t)
    print(page.text("body"), page.noise())
    print(router.polls(5), router.gateway.calls)
    page.order("screenshot", {"path": "/tmp/bedtry/a.png"})
    print(page.run("() => document.visibilityState"))
    page.hide()
    print(page.run("() => document.visibilityState"))
    print(router.polls(5))
    page.show(); print(router.polls(5), page.run('() => document.visibilityState'))
