package problem

// Code is the stable name of one way to be refused.
type Code string

// The codes, in the order of their statuses. Only append: a vendor's program
// compares them.
const (
	// MalformedJSON: the body is not one JSON object in UTF-8. 400.
	MalformedJSON Code = "malformed_json"
	// DuplicateKey: an object in the body names a member twice. 400.
	DuplicateKey Code = "duplicate_key"
	// WrongType: a member is of another JSON type than its field. 400.
	WrongType Code = "wrong_type"

	// MissingHeader: a webhook-… header is absent. 401.
	MissingHeader Code = "missing_header"
	// MalformedHeader: a webhook-… header cannot be read. 401.
	MalformedHeader Code = "malformed_header"
	// TimestampOutOfRange: webhook-timestamp is too far from the gateway's clock. 401.
	TimestampOutOfRange Code = "timestamp_out_of_range"
	// NotAuthenticated: the vendor is unknown or no signature matches; the
	// two are not told apart. 401.
	NotAuthenticated Code = "not_authenticated"

	// VendorDisabled: the signature holds, but the vendor is switched off. 403.
	VendorDisabled Code = "vendor_disabled"
	// MerchantNotAllowed: the vendor has no such merchant, or not this product for it. 403.
	MerchantNotAllowed Code = "merchant_not_allowed"
	// WeChatPayNoPermission: WeChat Pay says that the merchant lacks a permission. 403.
	WeChatPayNoPermission Code = "wechatpay_no_permission"

	// InProgress: the same request is still running. 409, with Retry-After.
	InProgress Code = "in_progress"
	// BodyTooLarge: the body is larger than the gateway reads. 413.
	BodyTooLarge Code = "body_too_large"
	// UnsupportedMediaType: the body is not application/json. 415.
	UnsupportedMediaType Code = "unsupported_media_type"

	// InvalidFields: members are wrong, one by one in errors. 422.
	InvalidFields Code = "invalid_fields"
	// MerchantAmbiguous: too little is given to choose one merchant. 422.
	MerchantAmbiguous Code = "merchant_ambiguous"
	// IdempotencyMismatch: the webhook-id was used for another request. 422.
	IdempotencyMismatch Code = "idempotency_mismatch"
	// WeChatPayRefused: WeChat Pay refused the request's content. 422.
	WeChatPayRefused Code = "wechatpay_refused"

	// WeChatPayRateLimited: WeChat Pay asks for fewer calls. 429, with Retry-After.
	WeChatPayRateLimited Code = "wechatpay_rate_limited"

	// WeChatPayUnverified: WeChat Pay's answer did not verify. 502.
	WeChatPayUnverified Code = "wechatpay_unverified"
	// WeChatPayRejectedOurSignature: WeChat Pay did not accept our signature. 502.
	WeChatPayRejectedOurSignature Code = "wechatpay_rejected_our_signature"

	// WeChatPayUnavailable: WeChat Pay cannot be reached or fails. 503, with Retry-After.
	WeChatPayUnavailable Code = "wechatpay_unavailable"
	// GatewayUnavailable: something that the gateway needs fails. 503, with Retry-After.
	GatewayUnavailable Code = "gateway_unavailable"

	// OutcomeUnknown: time ran out after WeChat Pay may have acted. 504.
	OutcomeUnknown Code = "outcome_unknown"
)

// Codes returns every code, in the order of the constants.
func Codes() []Code {
	return []Code{
		MalformedJSON, DuplicateKey, WrongType,
		MissingHeader, MalformedHeader, TimestampOutOfRange, NotAuthenticated,
		VendorDisabled, MerchantNotAllowed, WeChatPayNoPermission,
		InProgress, BodyTooLarge, UnsupportedMediaType,
		InvalidFields, MerchantAmbiguous, IdempotencyMismatch, WeChatPayRefused,
		WeChatPayRateLimited,
		WeChatPayUnverified, WeChatPayRejectedOurSignature,
		WeChatPayUnavailable, GatewayUnavailable,
		OutcomeUnknown,
	}
}

// Status returns the HTTP status that answers with the code, and 500 for a
// code that is not in the list.
func (c Code) Status() int {
	switch c {
	case MalformedJSON, DuplicateKey, WrongType:
		return 400
	case MissingHeader, MalformedHeader, TimestampOutOfRange, NotAuthenticated:
		return 401
	case VendorDisabled, MerchantNotAllowed, WeChatPayNoPermission:
		return 403
	case InProgress:
		return 409
	case BodyTooLarge:
		return 413
	case UnsupportedMediaType:
		return 415
	case InvalidFields, MerchantAmbiguous, IdempotencyMismatch, WeChatPayRefused:
		return 422
	case WeChatPayRateLimited:
		return 429
	case WeChatPayUnverified, WeChatPayRejectedOurSignature:
		return 502
	case WeChatPayUnavailable, GatewayUnavailable:
		return 503
	case OutcomeUnknown:
		return 504
	}
	return 500
}

// Title returns the status's own phrase from RFC 9110 or RFC 6585, which is
// what RFC 9457 section 4.2.1 asks for beside about:blank. The code and the
// detail tell the rest. (net/http still has RFC 7231's phrases for 413 and 422.)
func (c Code) Title() string {
	switch c.Status() {
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 409:
		return "Conflict"
	case 413:
		return "Content Too Large"
	case 415:
		return "Unsupported Media Type"
	case 422:
		return "Unprocessable Content"
	case 429:
		return "Too Many Requests"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	}
	return "Internal Server Error"
}

// FieldCode is the stable name of what is wrong with one member.
type FieldCode string

// The codes of FieldError. Only append: a vendor's program compares them.
const (
	// Required: the member is absent or empty and must not be.
	Required FieldCode = "required"
	// UnknownField: no such member is known here.
	UnknownField FieldCode = "unknown_field"
	// TooLong: the value is longer than WeChat Pay takes.
	TooLong FieldCode = "too_long"
	// BadValue: the value is not one of those allowed.
	BadValue FieldCode = "bad_value"
	// NotInThisScene: the member belongs to the other trade_scene.
	NotInThisScene FieldCode = "not_in_this_scene"
	// ConfigMismatch: the value differs from the gateway's configuration.
	ConfigMismatch FieldCode = "config_mismatch"
	// PlateMalformed: the plate number is not written as WeChat Pay wants it.
	PlateMalformed FieldCode = "plate_malformed"
	// PlateUnsupported: the plate is of a kind that WeChat Pay does not take,
	// or stands for no plate at all.
	PlateUnsupported FieldCode = "plate_unsupported"
	// TimeMalformed: the time cannot be read.
	TimeMalformed FieldCode = "time_malformed"
	// TimeInFuture: the time is too far ahead of the gateway's clock.
	TimeInFuture FieldCode = "time_in_future"
)

// FieldCodes returns every field code, in the order of the constants.
func FieldCodes() []FieldCode {
	return []FieldCode{
		Required, UnknownField, TooLong, BadValue, NotInThisScene,
		ConfigMismatch, PlateMalformed, PlateUnsupported, TimeMalformed,
		TimeInFuture,
	}
}
