// Package stackcheck proves what the gateway's template makes on AWS: tests over the template as AWS's own transform
// expands it, in both partitions, with every option off and with every option on. Each check has a name, and for every
// policy line, setting, route and property that the template could lose there is a test that some check then fails.
//
// The tests need what `make validate` installs, and run with it (build tag validate).
package stackcheck
