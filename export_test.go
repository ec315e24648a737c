package apikey

// ForgetAllPlans drops the answers of Config.Plan that are no longer fresh, as
// the loop does.
func (m *Manager) ForgetAllPlans() { m.plans.sweep(m.now().UnixMicro()) }
