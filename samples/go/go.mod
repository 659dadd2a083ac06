// The samples are no part of the gateway's module: docs/guide/go.md says how they are run.
module parking-vendor

go 1.21
