// Package e2e holds the end-to-end tests: the compiled functions, driven from outside over the local stack, with emulated
// AWS APIs and a WeChat Pay that verifies strictly. What a vendor, WeChat Pay and an operator see is asserted here, row by
// row, each row one mutation of a message that is accepted; how the functions do it is not.
//
// The tests need .venv (make .venv) and stand behind the build tag e2e:
//
//	go test -tags e2e ./e2e
//
// Four stacks are started, at most: a service provider's, a direct merchant's, one whose emulated AWS can be taken away,
// and one that delivers events, for the visit. Every log line of every function is kept until the end, and the run fails if a plate, an openid, a key, a secret
// or a line of PEM stands in any of them. A complete run also fails if any problem code, field code or callback reason of
// the closed lists was never seen.
//
// Nothing imports this package.
package e2e
