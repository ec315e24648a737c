package apikey

// ForgetAllPlans drops the answers of Config.Plan that are no longer fresh, as
// the loop does.
func (m *Manager) ForgetAllPlans() { m.plans.sweep(m.now().UnixMicro()) }

// FillSlowGate makes as many slow hashes run as may, or those of the keys given.
func (m *Manager) FillSlowGate(ids ...string) (release func()) {
	if len(ids) == 0 {
		for i := range m.slow.most {
			ids = append(ids, string(rune('0'+i)))
		}
	}
	for _, id := range ids {
		m.slow.enter(id, 1)
	}
	return func() {
		for _, id := range ids {
			m.slow.leave(id)
		}
	}
}
