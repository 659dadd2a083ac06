package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/signing"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
	"wechat-parking-gateway/shared/wechatpay"
)

// margin is kept of an invocation's time to say what became of it.
const margin = time.Second

// What is logged of a run that changed nothing for a reason that is no failure.
const (
	publicKeyOnly     = "public_key_only"
	publicKeyOnlyText = "WeChat Pay has no platform certificates for this merchant, which verifies with a WeChat Pay public key: nothing was changed. Set the template's parameter CertificateRefresh to off"
)

// store reads and edits secrets; see package secretstore.
type store interface {
	Read(ctx context.Context, secretID string) (secretstore.Version, error)
	Edit(ctx context.Context, secretID string, change func(document []byte) ([]byte, error)) (secretstore.Result, error)
}

// downloader downloads certificates; see package wechatpay.
type downloader interface {
	DownloadCertificates(ctx context.Context, keys wechatpay.V3Keys, apiV3Keys []*signing.V3Key) (wechatpay.Certificates, error)
}

// refresher keeps the certificates of one merchant.
type refresher struct {
	store             store
	merchantID, keyID string // names of secrets
	wechatPay         downloader
	now               func() time.Time
	logger            *slog.Logger
	meter             *telemetry.Meter
}

// handle does one refresh and writes its log line. Lambda repeats a scheduled invocation that returns an error.
func (r *refresher) handle(ctx context.Context) error {
	began := r.now()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	ctx, line := telemetry.Begin(trace.With(ctx, trace.Begin("", trace.Lambda(ctx))))
	level, err := r.guarded(ctx)
	if err != nil {
		telemetry.Set(ctx, telemetry.Error, err.Error())
	}
	took := r.now().Sub(began)
	telemetry.Set(ctx, telemetry.Duration, took.Milliseconds())
	line.Write(ctx, r.logger, level, "platform certificates")
	r.meter.Write(line, took)
	return err
}

// guarded turns a panic into an error, so that its line is written and the sandbox lives.
func (r *refresher) guarded(ctx context.Context) (level slog.Level, err error) {
	defer func() {
		if p := recover(); p != nil {
			telemetry.Set(ctx, telemetry.Panic, telemetry.PanicText(p))
			telemetry.Set(ctx, telemetry.Stack, string(debug.Stack()))
			telemetry.Count(ctx, telemetry.Panics)
			level, err = slog.LevelError, errors.New("certrefresh: it panicked")
		}
	}()
	return r.refresh(ctx)
}

// refresh downloads and edits. The level is that of the log line.
func (r *refresher) refresh(ctx context.Context) (slog.Level, error) {
	m, key, err := r.read(ctx)
	if err != nil {
		return slog.LevelError, err
	}
	list, err := r.wechatPay.DownloadCertificates(ctx, wechatpay.V3Keys{
		Signer: signing.NewSigner(m.MchID, key.SerialNo, key.PrivateKey), WeChatPay: m.WeChatPayKeys,
	}, m.V3Keys)
	var refused *wechatpay.Error
	if errors.As(err, &refused) {
		telemetry.Set(ctx, telemetry.WeChatCode, refused.Code)
		if refused.Code == wechatpay.NoCertificates {
			telemetry.Set(ctx, telemetry.Reason, publicKeyOnly)
			telemetry.Set(ctx, telemetry.Error, publicKeyOnlyText)
			return slog.LevelWarn, nil
		}
	}
	if err != nil {
		r.measure(ctx, m)
		return slog.LevelError, fmt.Errorf("downloading the platform certificates: %w", err)
	}
	return r.write(ctx, m, list)
}

// read reads both of the merchant's documents.
func (r *refresher) read(ctx context.Context) (*merchant.Merchant, *merchant.Key, error) {
	document, err := r.store.Read(ctx, r.merchantID)
	if err != nil {
		return nil, nil, err
	}
	m, err := merchant.Parse([][]byte{document.Document})
	if err != nil {
		return nil, nil, fmt.Errorf("the secret %s: %w", r.merchantID, err)
	}
	if document, err = r.store.Read(ctx, r.keyID); err != nil {
		return nil, nil, err
	}
	key, err := merchant.ParseKey([][]byte{document.Document})
	if err != nil {
		return nil, nil, fmt.Errorf("the secret %s: %w", r.keyID, err)
	}
	return m, key, nil
}

// write puts what was downloaded into the secret. One certificate that cannot be used is told and is in nobody's way; when
// none can be used, that is a failure.
func (r *refresher) write(ctx context.Context, m *merchant.Merchant, list wechatpay.Certificates) (slog.Level, error) {
	level, problems := slog.LevelInfo, list.Unusable
	if len(list.Usable) == 0 {
		r.measure(ctx, m)
		return slog.LevelError, fmt.Errorf("none of the %d platform certificates can be used; is the current APIv3 key in api_v3_keys? %w",
			len(problems), errors.Join(problems...))
	}
	var done changes
	result, err := r.store.Edit(ctx, r.merchantID, func(document []byte) (next []byte, err error) {
		next, done, err = renew(document, list.Usable, r.now())
		return next, err
	})
	if err != nil {
		r.measure(ctx, m)
		return slog.LevelError, fmt.Errorf("the secret %s: %w", r.merchantID, err)
	}
	if m, err = merchant.Parse([][]byte{result.Version.Document}); err == nil { // renew has parsed it, too
		r.measure(ctx, m)
	}
	telemetry.Set(ctx, telemetry.CertsAdded, strings.Join(done.added, ","))
	telemetry.Set(ctx, telemetry.CertsDropped, strings.Join(done.dropped, ","))
	if problems = append(problems, done.problems...); len(problems) > 0 {
		level = slog.LevelWarn
		telemetry.Set(ctx, telemetry.Error, errors.Join(problems...).Error())
	}
	return level, nil
}

// measure notes how many days are left.
func (r *refresher) measure(ctx context.Context, m *merchant.Merchant) {
	if days, ok := daysLeft(m, r.now()); ok {
		telemetry.Set(ctx, telemetry.DaysLeft, days)
		telemetry.Measure(ctx, telemetry.CertificateDaysLeft, days)
	}
}
