package apikey

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLimitCheck(t *testing.T) {
	t.Parallel()
	const (
		badName  = "must be 1 to 64 characters of a-z 0-9 _ -"
		badN     = "must be 1 to 1000000000"
		badPer   = "must be 1ms to 8784h0m0s"
		badBurst = "must be 0 (N) to 1000000000"
	)
	tests := []struct {
		limit Limit
		want  faults
	}{
		{limit: PerSecond(1)},
		{limit: PerMinute(60)},
		{limit: PerHour(1e9)},
		{limit: Limit{Name: strings.Repeat("x", 64), N: 1, Per: time.Millisecond, Burst: 1e9}},
		{limit: Limit{Name: "a_b-0", N: 1e9, Per: 366 * 24 * time.Hour}},
		{limit: Limit{}, want: faults{{"L.Name", badName}, {"L.N", badN}, {"L.Per", badPer}}},
		{limit: PerSecond(0), want: faults{{"L.N", badN}}},
		{limit: PerSecond(-1), want: faults{{"L.N", badN}}},
		{limit: PerSecond(1e9 + 1), want: faults{{"L.N", badN}}},
		{limit: Limit{Name: strings.Repeat("x", 65), N: 1, Per: time.Second}, want: faults{{"L.Name", badName}}},
		{limit: Limit{Name: "Minute", N: 1, Per: time.Second}, want: faults{{"L.Name", badName}}},
		{limit: Limit{Name: "x", N: 1, Per: time.Millisecond - 1}, want: faults{{"L.Per", badPer}}},
		{limit: Limit{Name: "x", N: 1, Per: 366*24*time.Hour + 1}, want: faults{{"L.Per", badPer}}},
		{limit: Limit{Name: "x", N: 1, Per: time.Second, Burst: -1}, want: faults{{"L.Burst", badBurst}}},
		{limit: Limit{Name: "x", N: 1, Per: time.Second, Burst: 1e9 + 1}, want: faults{{"L.Burst", badBurst}}},
	}
	for _, tt := range tests {
		var got faults
		tt.limit.check(&got, "L")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v: (-want +got)\n%s", tt.limit, diff)
		}
	}
}

func TestLimitCapacity(t *testing.T) {
	t.Parallel()
	if got := PerMinute(60).Capacity(); got != 60 {
		t.Errorf("without Burst: %d, want N = 60", got)
	}
	if got := (Limit{N: 60, Per: time.Minute, Burst: 5}).Capacity(); got != 5 {
		t.Errorf("with Burst 5: %d, want 5", got)
	}
}
