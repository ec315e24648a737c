package apikey

// ForgetAllPlans drops the answers of Config.Plan that are no longer fresh, as
// the loop does.
func (m *Manager) ForgetAllPlans() { m.plans.sweep(m.now().UnixMicro()) }

// FillSlowGate makes as many slow hashes run as may, or those of the keys given.
func (m *Manager) FillSlowGate(ids ...string) (release func()) {
	m.slow.mu.Lock()
	defer m.slow.mu.Unlock()
	for i := range m.slow.most {
		if len(ids) > 0 {
			break
		}
		m.slow.running = append(m.slow.running, string(rune('0'+i)))
	}
	m.slow.running = append(m.slow.running, ids...)
	return func() {
		m.slow.mu.Lock()
		defer m.slow.mu.Unlock()
		m.slow.running = nil
	}
}
