import random
from test_hold import *
from gatekeeper.server.flushing import Flushing
USERS=[f"49151100000{n:02d}" for n in range(6)]
@pytest.mark.parametrize("seed", range(12))
async def test_fuzz(seed, opened, graph, redis):
    rng=random.Random(seed)
    gates=[await opened() for _ in range(3)]
    fates={}
    async def script(request):
        body=await request.read(); graph.keep(request, body)
        await asyncio.sleep(rng.random()*0.01)
        read=json.loads(body)
        r=rng.random()
        w=word(body)
        if read["type"]=="template":
            if r<0.15: return refusal(132001,404)
            return graph.accept(body)
        if r<0.1: fates.setdefault(w,[]).append("refused"); return refusal(131026)
        if r<0.2: fates.setdefault(w,[]).append("later"); return refusal(130429)
        if r<0.27: fates.setdefault(w,[]).append("unknown"); return web.Response(status=503)
        if r<0.33: fates.setdefault(w,[]).append("shut"); return refusal(131047)
        if r<0.38:
            fates.setdefault(w,[]).append("reset"); request.transport.abort(); raise asyncio.CancelledError
        fates.setdefault(w,[]).append("sent"); return graph.accept(body)
    graph.script=script
    held={}; n=0
    clock=NOON
    async def one():
        nonlocal n
        n+=1; k=f"{n}"; u=rng.choice(USERS)
        a=await rng.choice(gates).send(text(k,to=u), TOKEN)
        if a.status==202: held[k]=(a,u)
    for step in range(14):
        ops=[one() for _ in range(rng.randint(0,6))]
        for g in gates: g.now=clock
        for _ in range(rng.randint(0,3)):
            g=rng.choice(gates); ops.append(g.wrote(user=rng.choice(USERS)))
        if rng.random()<0.3:
            g=rng.choice(gates)
            for task in list(g.gate.flushing._running.values()): 
                asyncio.get_running_loop().call_later(rng.random()*0.02, task.cancel)
        await asyncio.gather(*ops)
        clock+=rng.choice([1000,6000,60000, 6*HOUR])
    for g in gates: g.now=clock
    for u in USERS: await gates[0].wrote(user=u)
    for _ in range(60):
        clock+=70_000
        for g in gates: g.now=clock
        if rng.random()<.5:
            for u in USERS: await gates[0].wrote(user=u)
        for g in gates:
            await asyncio.gather(*await g.gate.flushing.look(clock))
    states={k:await status(gates[0],a) for k,(a,u) in held.items()}
    from collections import Counter
    print(seed, Counter(s for s,_ in states.values()), len(graph.arrived))
    for k,(s,w) in states.items():
        f=fates.get(k,[])
        final=[x for x in f if x in("sent","refused","unknown","reset")]
        assert len(final)<=1,(k,f,s)
        assert s in ("sent","failed","unknown","expired"),(k,s,f)
        assert {"sent":["sent"],"failed":["refused"],"expired":[]}.get(s,final)==final,(k,s,f)
    assert there(redis)[0]==[] and redis.zcard(keys.holding(WABA))==0
