package signing

// ErrPoorRandomness is told apart in tests alone: no caller can do anything
// about it.
var ErrPoorRandomness = errPoorRandomness
