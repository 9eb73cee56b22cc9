package tunnel

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestIdleTicks(t *testing.T) {
	f := func(d time.Duration, want uint32) {
		t.Helper()
		if got := idleTicks(d); got != want {
			t.Errorf("%v is %d ticks; want %d", d, got, want)
		}
	}
	f(-1, 0)
	f(0, 0)
	f(1, 1)
	f(tick, 1)
	f(tick+1, 2)
	f(time.Hour, 14400)
	f(1<<63-1, 1<<30)
}

// Against a model that looks at every tunnel at every tick: random touches,
// removals and timeouts from one tick to several turns of the wheel.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := &Relay{}
		w := &r.wheel
		w.now.Store(math.MaxUint32 - rim) // the clock may wrap
		open := map[*Tunnel]bool{}
		for range 5 * rim {
			for range rnd.IntN(3) {
				tun := &Tunnel{relay: r, idle: uint32(rnd.IntN(3 * rim))}
				tun.touch()
				w.add(tun)
				open[tun] = true
			}
			for tun := range open {
				switch rnd.IntN(400) {
				case 0:
					tun.touch()
				case 1:
					w.remove(tun)
					w.remove(tun)
					delete(open, tun)
				}
			}
			got := map[*Tunnel]bool{}
			for _, tun := range w.advance() {
				got[tun] = true
			}
			for tun := range open {
				due := tun.idle > 0 && w.now.Load()-tun.active.Load() > tun.idle
				if due != got[tun] {
					t.Fatalf("seed %d: idle %d, last byte %d, now %d: due %v, found %v",
						seed, tun.idle, tun.active.Load(), w.now.Load(), due, got[tun])
				}
				if due {
					delete(open, tun)
				}
			}
		}
		for tun := range open {
			w.remove(tun)
		}
		for _, head := range w.slots {
			if head != nil {
				t.Fatalf("seed %d: a removed tunnel is still filed", seed)
			}
		}
	}
}

// A tunnel may end before Start files it.
func TestWheelAddAfterRemove(t *testing.T) {
	r := &Relay{}
	tun := &Tunnel{relay: r, idle: 1}
	r.wheel.remove(tun)
	r.wheel.add(tun)
	for range rim {
		if due := r.wheel.advance(); due != nil {
			t.Fatal("found")
		}
	}
}
