package vendor

import (
	"errors"
	"fmt"
)

// The ways in which no merchant can be selected.
var (
	// ErrNotAllowed says that the vendor has no merchant that fits. It always
	// comes as one of the next two.
	ErrNotAllowed = errors.New("the vendor may not act for this merchant")

	// ErrNotConfigured says that the vendor has the merchant, without the
	// product that is asked for.
	ErrNotConfigured = fmt.Errorf("%w: the product is not configured for it", ErrNotAllowed)

	// ErrNoMatch says that no merchant of the vendor agrees with everything
	// that was given.
	ErrNoMatch = fmt.Errorf("%w: none of the vendor's agrees with all that is given", ErrNotAllowed)

	// ErrAmbiguous says that too little was given to tell two merchants of the
	// vendor apart.
	ErrAmbiguous = errors.New("several of the vendor's merchants agree with what is given")
)

// BusinessCircleQuery is what a caller gave to name the merchant of a smart
// business circle. A nil field was left out.
type BusinessCircleQuery struct {
	// Direct tells that the gateway runs in mode direct, where only entries
	// without a sub-merchant count; otherwise only those with one do.
	Direct bool

	SubMchID *string
	BrandID  *int64
	AppID    *string
}

// VehicleQuery is what a caller gave to name the merchant of the vehicle
// service. A nil field was left out.
type VehicleQuery struct {
	// Direct is as in [BusinessCircleQuery].
	Direct bool

	SubMchID *string
	SubAppID *string
}

// SelectBusinessCircle returns the one merchant of the vendor that has the
// product and agrees with every field that is given; its BusinessCircle is not
// nil. Two entries that the product cannot tell apart count as one. The error
// is ErrNotConfigured, ErrNoMatch or ErrAmbiguous.
func (v *Vendor) SelectBusinessCircle(q BusinessCircleQuery) (Merchant, error) {
	return v.choose(q.Direct, q.SubMchID,
		func(m Merchant) bool { return m.BusinessCircle != nil },
		func(m Merchant) bool {
			return agrees(q.BrandID, m.BusinessCircle.BrandID) && agrees(q.AppID, m.BusinessCircle.AppID)
		},
		func(a, b Merchant) bool { return a.SubMchID == b.SubMchID && *a.BusinessCircle == *b.BusinessCircle },
	)
}

// SelectVehicle is [Vendor.SelectBusinessCircle] for the vehicle service; the
// merchant's Vehicle is not nil.
func (v *Vendor) SelectVehicle(q VehicleQuery) (Merchant, error) {
	return v.choose(q.Direct, q.SubMchID,
		func(m Merchant) bool { return m.Vehicle != nil },
		func(m Merchant) bool { return agrees(q.SubAppID, m.Vehicle.SubAppID) },
		func(a, b Merchant) bool { return a.SubMchID == b.SubMchID && *a.Vehicle == *b.Vehicle },
	)
}

// choose walks the merchants of the mode that agree with subMchID. configured
// tells whether one has the product; only of such ones are matches, which
// compares the product's own fields, and same asked.
func (v *Vendor) choose(direct bool, subMchID *string, configured, matches func(Merchant) bool, same func(a, b Merchant) bool) (Merchant, error) {
	var chosen *Merchant
	known, withProduct := false, false
	for i, m := range v.Merchants {
		if (m.SubMchID == "") != direct || !agrees(subMchID, m.SubMchID) {
			continue
		}
		known = true
		if !configured(m) {
			continue
		}
		withProduct = true
		if !matches(m) || chosen != nil && same(*chosen, m) {
			continue
		}
		if chosen != nil {
			return Merchant{}, ErrAmbiguous
		}
		chosen = &v.Merchants[i]
	}
	switch {
	case chosen != nil:
		return *chosen, nil
	case known && !withProduct:
		return Merchant{}, ErrNotConfigured
	}
	return Merchant{}, ErrNoMatch
}

// agrees reports whether given was left out or equals configured.
func agrees[T comparable](given *T, configured T) bool {
	return given == nil || *given == configured
}
