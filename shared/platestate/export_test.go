package platestate

// NewFakeAPI gives the example a table in memory.
func NewFakeAPI() API { return newFake() }
