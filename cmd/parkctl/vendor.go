package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/handover"
	"wechat-parking-gateway/cmd/parkctl/vendorbook"
	"wechat-parking-gateway/shared/egress"
	"wechat-parking-gateway/shared/event"
	"wechat-parking-gateway/shared/secretstore"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/vendor"
)

// editPatience bounds how long a writer repeats while others are first.
const editPatience = 3 * time.Minute

// cacheTime is how long the functions go on with what they have read, in words.
const cacheTime = "The functions see it within 5 minutes."

func vendorCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vendor",
		Short: "Add parking vendors, rotate their secrets, turn them off",
		Long: `Add parking vendors, rotate their secrets, turn them off.

Vendors stand in the stack's vendors secrets. Any number of writers may change one secret at a time: a writer that was not
first reads again and repeats its change, and none is lost. AWS keeps about 100 versions of a secret and refuses more
writes than that in 24 hours: let several hundred vendors in over several days, or in one edit of the secret.

No command prints a vendor's secret. "add" and "rotate" write it into a hand-over file that only its owner can read, before it
is stored, so that no vendor ever has a secret that nobody knows.`,
		Example: `  parkctl vendor add acme-parking --sub-mchid 1900000109 --vehicle-appid wxcbda96de0b165489
  parkctl vendor list --stack parking-prod
  parkctl vendor rotate acme-parking --stack parking-prod`,
	}
	cmd.AddCommand(vendorAddCommand(s), vendorListCommand(s), vendorShowCommand(s), vendorUpdateCommand(s), vendorRotateCommand(s),
		vendorSwitchCommand(s, "disable", true), vendorSwitchCommand(s, "enable", false), vendorRemoveCommand(s),
		vendorMerchantCommand(s), vendorPingCommand(s))
	return cmd
}

// book is the vendors' secrets of one gateway.
type book struct {
	*deployment.Deployment
	store *secretstore.Store
	// chosen is the secret that was chosen to write to, "" for none.
	chosen string
}

// vendorOptions are the flags of the vendor commands.
type vendorOptions struct {
	*settings
	consent
	secret string
}

func (o *vendorOptions) register(cmd *cobra.Command, writes bool) {
	purpose := "a vendors' secret to look into beside the stack's"
	if writes {
		purpose = "the vendors' secret to write a new vendor or merchant to (default: the stack's first, or where the vendor stands)"
	}
	cmd.Flags().StringVar(&o.secret, "vendors-secret", "", purpose)
	if writes {
		o.consent.register(cmd)
	}
}

// book opens the gateway's vendors.
func (o *vendorOptions) book(cmd *cobra.Command) (*book, error) {
	ctx, log := cmd.Context(), cmd.ErrOrStderr()
	d, err := o.open(ctx)
	if errors.Is(err, deployment.ErrNoStack) && o.secret != "" {
		err = nil // a secret may be there before its stack is
	}
	if err != nil {
		return nil, err
	}
	// A vendor may stand in one secret alone, so all are looked at whatever is written to.
	if o.secret != "" && !slices.Contains(d.VendorsSecrets, o.secret) {
		if d.Status != "" {
			fmt.Fprintf(log, "The stack %s does not read the secret %s: add it to the parameter VendorsSecretNames.\n", d.Stack, o.secret)
		}
		d.VendorsSecrets = append(d.VendorsSecrets, o.secret)
	}
	if len(d.VendorsSecrets) == 0 {
		return nil, fmt.Errorf("the stack %s has no parameter VendorsSecretNames: name the secret with --vendors-secret", d.Stack)
	}
	return &book{d, secretstore.New(secretsmanager.NewFromConfig(d.AWS)), o.secret}, nil
}

// page is one vendors secret.
type page struct {
	name    string
	vendors map[string]vendorbook.Vendor
}

// read returns all vendors' secrets, each by itself; together they are what the functions take.
func (b *book) read(ctx context.Context) ([]page, error) {
	var pages []page
	var documents [][]byte
	for _, name := range b.VendorsSecrets {
		v, err := b.store.Read(ctx, name)
		if errors.Is(err, secretstore.ErrNotFound) {
			return nil, fmt.Errorf("%w; `parkctl secret init` makes it", err)
		}
		if err != nil {
			return nil, err
		}
		vendors, err := vendorbook.Read(v.Document)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w (`parkctl secret check` tells more)", name, err)
		}
		pages, documents = append(pages, page{name, vendors}), append(documents, v.Document)
	}
	if _, err := vendor.Parse(documents); err != nil {
		return nil, fmt.Errorf("the vendors secrets do not go together: %w (`parkctl secret check` tells more)", err)
	}
	return pages, nil
}

// find returns the secret with a vendor's own fields, and all that the pages say of it together.
func find(pages []page, id string) (name string, all vendorbook.Vendor, err error) {
	for _, p := range pages {
		v, ok := p.vendors[id]
		if !ok {
			continue
		}
		merchants := append(all.Merchants, v.Merchants...)
		if name == "" || len(v.RequestSecrets)+len(v.WebhookSecrets) > 0 {
			name, all = p.name, v
		}
		all.Merchants = merchants
	}
	if name == "" {
		return "", all, fmt.Errorf("%s: %w", id, vendorbook.ErrUnknown)
	}
	return name, all, nil
}

// locate is find in the secrets as they are now.
func (b *book) locate(ctx context.Context, id string) (string, vendorbook.Vendor, error) {
	pages, err := b.read(ctx)
	if err != nil {
		return "", vendorbook.Vendor{}, err
	}
	return find(pages, id)
}

// edit changes one secret beside others who do.
func (b *book) edit(ctx context.Context, name string, change func([]byte) ([]byte, error)) (secretstore.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, editPatience)
	defer cancel()
	return b.store.Edit(ctx, name, change)
}

// changed is what a command that wrote tells machines.
type changed struct {
	Vendor   string `json:"vendor"`
	Secret   string `json:"secret"`
	Changed  bool   `json:"changed"`
	HandOver string `json:"hand_over,omitempty"`
}

func (o *vendorOptions) tell(cmd *cobra.Command, c changed, text string) error {
	if o.json {
		return emit(cmd.OutOrStdout(), c)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// merchantFlags name one merchant and its products.
type merchantFlags struct {
	subMchID, vehicleAppID, circleAppID string
	vehicle                             bool
	brandID                             int64
}

func (m *merchantFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.subMchID, "sub-mchid", "", "the sub-merchant (leave out in mode direct)")
	cmd.Flags().BoolVar(&m.vehicle, "vehicle", false, "it has the vehicle service (V2)")
	cmd.Flags().StringVar(&m.vehicleAppID, "vehicle-appid", "", "its sub_appid for the vehicle service; implies --vehicle")
	cmd.Flags().Int64Var(&m.brandID, "brandid", 0, "its brand for the smart business circle (V3)")
	cmd.Flags().StringVar(&m.circleAppID, "circle-appid", "", "the appid bound to that brand")
	cmd.MarkFlagsRequiredTogether("brandid", "circle-appid")
}

// merchant returns the merchant that the flags name, and nil when they name none.
func (m *merchantFlags) merchant() (*vendorbook.Merchant, error) {
	if *m == (merchantFlags{}) {
		return nil, nil
	}
	merchant := &vendorbook.Merchant{SubMchID: m.subMchID}
	if m.vehicle || m.vehicleAppID != "" {
		merchant.Vehicle = &vendorbook.Vehicle{SubAppID: m.vehicleAppID}
	}
	if m.brandID != 0 {
		merchant.BusinessCircle = &vendorbook.BusinessCircle{BrandID: m.brandID, AppID: m.circleAppID}
	}
	if merchant.Vehicle == nil && merchant.BusinessCircle == nil {
		return nil, usage("give the merchant a product: --vehicle or --vehicle-appid, or --brandid with --circle-appid")
	}
	return merchant, nil
}

// checkWebhookURL refuses a URL that the gateway would not post to.
func checkWebhookURL(raw string, local bool) error {
	if raw == "" {
		return nil
	}
	if err := egress.New(egress.Options{AllowLoopback: local}).CheckURL(raw); err != nil {
		return usage("--webhook-url: %v; want an https URL on port 443 with a public name", err)
	}
	return nil
}

func vendorAddCommand(s *settings) *cobra.Command {
	o, m := vendorOptions{settings: s}, merchantFlags{}
	var out, baseURL, webhookURL string
	var events []string
	cmd := &cobra.Command{
		Use:   "add VENDOR",
		Short: "Add a vendor and write its hand-over file",
		Long: `Add a vendor and write its hand-over file: the gateway's address, the vendor's id and its new secrets, as lines KEY=value.
The file is new, is readable by its owner alone, and is complete on the disk before the secrets are stored.`,
		Example: `  parkctl vendor add acme-parking --sub-mchid 1900000109 --vehicle-appid wxcbda96de0b165489 \
      --brandid 1000 --circle-appid wx931386123456789e --webhook-url https://parking.example.com/webhooks/wechat
  parkctl vendor add acme-parking --stack parking-prod --out /secure/acme.gateway.env --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, ctx := args[0], cmd.Context()
			merchant, err := m.merchant()
			if err != nil {
				return err
			}
			b, err := o.book(cmd)
			if err != nil {
				return err
			}
			if err := checkWebhookURL(webhookURL, b.Local); err != nil {
				return err
			}
			v := vendorbook.Vendor{WebhookURL: webhookURL, Events: events, Merchants: []vendorbook.Merchant{}}
			if merchant != nil {
				v.Merchants = append(v.Merchants, *merchant)
			}
			if v.RequestSecrets, v.WebhookSecrets, err = newSecrets(); err != nil {
				return err
			}
			if _, err := vendorbook.Add([]byte(vendorbook.Empty), id, v); err != nil {
				return usage("%v", err)
			}
			pages, err := b.read(ctx)
			if err != nil {
				return err
			}
			if _, _, err := find(pages, id); err == nil {
				return fmt.Errorf("%s: %w", id, vendorbook.ErrExists)
			}
			name := cmp.Or(b.chosen, b.VendorsSecrets[0])
			if err := o.write(cmd, b.Deployment, fmt.Sprintf("Vendor %s will be added to the secret %s.", id, name), false); err != nil {
				return err
			}
			path := cmp.Or(out, id+".gateway.env")
			file := handover.File{
				BaseURL: cmp.Or(baseURL, b.BaseURL), VendorID: id, RequestSecret: v.RequestSecrets[0], WebhookSecret: v.WebhookSecrets[0],
				WebhookURL: webhookURL, Events: eventsOf(v),
			}
			err = b.handOver(ctx, path, file, name, func(document []byte) ([]byte, error) { return vendorbook.Add(document, id, v) })
			if err != nil {
				return err
			}
			text := fmt.Sprintf("Vendor %s is in the secret %s. Hand over %s by a confidential channel, then delete it. %s", id, name, path, cacheTime)
			if merchant == nil {
				text += "\nIt has no merchant yet: parkctl vendor merchant add " + id + " …"
			}
			return o.tell(cmd, changed{id, name, true, path}, text)
		},
	}
	o.register(cmd, true)
	m.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "the hand-over file, which must not exist (default VENDOR.gateway.env)")
	cmd.Flags().StringVar(&baseURL, "base-url", "", "the gateway's address for the hand-over file (default: the stack's)")
	cmd.Flags().StringVar(&webhookURL, "webhook-url", "", "where the vendor takes its events")
	cmd.Flags().StringSliceVar(&events, "events", nil, "event types that the vendor hears of (default "+event.VehiclePlateStateChanged+")")
	completeEvents(cmd)
	return cmd
}

func completeEvents(cmd *cobra.Command) {
	// It fails for a flag that does not exist alone.
	_ = cmd.RegisterFlagCompletionFunc("events", cobra.FixedCompletions(event.Types(), cobra.ShellCompDirectiveNoFileComp))
}

// newSecrets makes a new secret for each of a vendor's lists.
func newSecrets() (request, webhook []string, err error) {
	lists := make([][]string, 2)
	for i := range lists {
		secret, err := stdwebhook.NewSecret(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		lists[i] = []string{secret}
	}
	return lists[0], lists[1], nil
}

// handOver writes a hand-over file and then stores what it tells of. Whatever happens between the two, no secret is
// stored that is in no file. The file is taken away again only when it is certain that nothing was stored.
func (b *book) handOver(ctx context.Context, path string, file handover.File, name string, change func([]byte) ([]byte, error)) error {
	if file.BaseURL == "" {
		return usage("the gateway's address is not known, as the stack %s has no output ApiUrl: name it with --base-url", b.Stack)
	}
	if err := file.Create(path); err != nil {
		if errors.Is(err, handover.ErrExists) {
			return fmt.Errorf("%w; name another with --out. Nothing was stored", err)
		}
		return err
	}
	_, err := b.edit(ctx, name, change)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, secretstore.ErrUnknownOutcome):
		return errors.Join(err, os.Remove(path))
	}
	// A little time of its own: ctx may be what ended the write.
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, v, lookErr := b.locate(look, file.VendorID); lookErr == nil && slices.Contains(v.RequestSecrets, file.RequestSecret) &&
		slices.Contains(v.WebhookSecrets, file.WebhookSecret) {
		return nil
	}
	return fmt.Errorf("%w. The hand-over file %s is kept: `parkctl vendor show %s` says whether its secrets were stored", err, path, file.VendorID)
}

// eventsOf returns what a vendor hears of.
func eventsOf(v vendorbook.Vendor) []string {
	if v.Events == nil {
		return []string{event.VehiclePlateStateChanged}
	}
	return v.Events
}

// summary is what is shown of a vendor. It holds no secret.
type summary struct {
	ID             string                `json:"vendor"`
	Secret         string                `json:"secret"`
	State          string                `json:"state"`
	Merchants      []vendorbook.Merchant `json:"merchants"`
	Events         []string              `json:"events"`
	WebhookURL     string                `json:"webhook_url"`
	RequestSecrets []string              `json:"request_secrets_sha256"`
	WebhookSecrets []string              `json:"webhook_secrets_sha256"`
}

func summaryOf(id, secret string, v vendorbook.Vendor) summary {
	s := summary{
		ID: id, Secret: secret, State: "enabled", Merchants: v.Merchants, Events: eventsOf(v), WebhookURL: shownURL(v.WebhookURL),
		RequestSecrets: fingerprints(v.RequestSecrets), WebhookSecrets: fingerprints(v.WebhookSecrets),
	}
	if v.Disabled {
		s.State = "disabled"
	}
	if s.Merchants == nil {
		s.Merchants = []vendorbook.Merchant{}
	}
	return s
}

// fingerprints tells secrets apart without showing them: a hash of 256 random bits gives nothing away.
func fingerprints(secrets []string) []string {
	prints := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		sum := sha256.Sum256([]byte(secret))
		prints = append(prints, hex.EncodeToString(sum[:6]))
	}
	return prints
}

// shownURL leaves out the part of a URL in which people put tokens.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.User = nil
	return u.String()
}

func vendorListCommand(s *settings) *cobra.Command {
	o := vendorOptions{settings: s}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the vendors",
		Example: "  parkctl vendor list\n  parkctl vendor list --stack parking-prod --json | jq -r .vendor",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := o.book(cmd)
			if err != nil {
				return err
			}
			pages, err := b.read(cmd.Context())
			if err != nil {
				return err
			}
			ids := map[string]bool{}
			for _, p := range pages {
				for id := range p.vendors {
					ids[id] = true
				}
			}
			table := newTable(cmd.OutOrStdout())
			if !o.json {
				row(table, "VENDOR", "STATE", "MERCHANTS", "EVENTS", "SECRETS", "WEBHOOK", "IN")
			}
			for _, id := range sortedKeys(ids) {
				name, v, err := find(pages, id)
				if err != nil {
					return err
				}
				sum := summaryOf(id, name, v)
				if o.json {
					if err := emit(cmd.OutOrStdout(), sum); err != nil {
						return err
					}
					continue
				}
				row(table, id, sum.State, strconv.Itoa(len(sum.Merchants)), strconv.Itoa(len(sum.Events)),
					fmt.Sprintf("%d+%d", len(sum.RequestSecrets), len(sum.WebhookSecrets)), orDash(sum.WebhookURL), name)
			}
			return table.Flush()
		},
	}
	o.register(cmd, false)
	return cmd
}

func vendorShowCommand(s *settings) *cobra.Command {
	o := vendorOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "show VENDOR",
		Short: "Show one vendor without its secrets",
		Long: `Show one vendor without its secrets. Of each secret there is the beginning of its SHA-256, newest first; the same of a secret
in a hand-over file: printf %s whsec_… | sha256sum | cut -c1-12`,
		Example:           "  parkctl vendor show demo-parking\n  parkctl vendor show acme-parking --stack parking-prod --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: vendorIDs(s),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := o.book(cmd)
			if err != nil {
				return err
			}
			name, v, err := b.locate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			sum := summaryOf(args[0], name, v)
			if o.json {
				return emit(cmd.OutOrStdout(), sum)
			}
			table := newTable(cmd.OutOrStdout())
			row(table, "vendor", sum.ID)
			row(table, "state", sum.State)
			row(table, "secret", sum.Secret)
			for _, m := range sum.Merchants {
				row(table, "merchant", shownMerchant(m))
			}
			if len(sum.Merchants) == 0 {
				row(table, "merchant", "none: it can do nothing")
			}
			row(table, "webhook url", orDash(sum.WebhookURL))
			row(table, "events", strings.Join(sum.Events, ", "))
			row(table, "request secrets", orDash(strings.Join(sum.RequestSecrets, ", ")))
			row(table, "webhook secrets", orDash(strings.Join(sum.WebhookSecrets, ", ")))
			return table.Flush()
		},
	}
	o.register(cmd, false)
	return cmd
}

func shownMerchant(m vendorbook.Merchant) string {
	text := cmp.Or(m.SubMchID, "the merchant itself")
	if m.Vehicle != nil {
		text += "; vehicle " + cmp.Or(m.Vehicle.SubAppID, "without a sub_appid")
	}
	if m.BusinessCircle != nil {
		text += fmt.Sprintf("; business circle %d %s", m.BusinessCircle.BrandID, m.BusinessCircle.AppID)
	}
	return text
}

// vendorEdit makes a command that changes one vendor's entry.
func vendorEdit(o *vendorOptions, cmd *cobra.Command, do func(cmd *cobra.Command, b *book, id, name string, v vendorbook.Vendor) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = vendorIDs(o.settings)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := o.book(cmd)
		if err != nil {
			return err
		}
		name, v, err := b.locate(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return do(cmd, b, args[0], name, v)
	}
	o.register(cmd, true)
	return cmd
}

// apply asks, changes one secret, and tells.
func (o *vendorOptions) apply(cmd *cobra.Command, b *book, id, name, what, done string, final bool, change func([]byte) ([]byte, error)) error {
	if err := o.write(cmd, b.Deployment, what, final); err != nil {
		return err
	}
	result, err := b.edit(cmd.Context(), name, change)
	if err != nil {
		return err
	}
	if !result.Written {
		return o.tell(cmd, changed{Vendor: id, Secret: name}, fmt.Sprintf("Vendor %s was so already; nothing was written.", id))
	}
	return o.tell(cmd, changed{Vendor: id, Secret: name, Changed: true}, done+" "+cacheTime)
}

func vendorUpdateCommand(s *settings) *cobra.Command {
	o := &vendorOptions{settings: s}
	var webhookURL string
	var events []string
	cmd := vendorEdit(o, &cobra.Command{
		Use:   "update VENDOR",
		Short: "Change where a vendor takes its events, and which",
		Example: `  parkctl vendor update acme-parking --webhook-url https://parking.example.com/webhooks/wechat
  parkctl vendor update acme-parking --events vehicle.plate_state_changed,businesscircle.transaction_succeeded`,
	}, func(cmd *cobra.Command, b *book, id, name string, _ vendorbook.Vendor) error {
		change := vendorbook.Change{Events: events}
		if cmd.Flags().Changed("webhook-url") {
			change.WebhookURL = &webhookURL
		}
		if change.WebhookURL == nil && change.Events == nil {
			return usage("say what to change: --webhook-url, --events")
		}
		if err := checkWebhookURL(webhookURL, b.Local); err != nil {
			return err
		}
		return o.apply(cmd, b, id, name, fmt.Sprintf("Vendor %s will be changed in the secret %s.", id, name), fmt.Sprintf("Vendor %s is changed.", id), false,
			func(document []byte) ([]byte, error) { return vendorbook.Update(document, id, change) })
	})
	cmd.Flags().StringVar(&webhookURL, "webhook-url", "", "where the vendor takes its events; empty for nowhere")
	cmd.Flags().StringSliceVar(&events, "events", nil, "event types that the vendor hears of, with commas between them")
	completeEvents(cmd)
	return cmd
}

func vendorRotateCommand(s *settings) *cobra.Command {
	o := &vendorOptions{settings: s}
	var out, baseURL, only string
	var finish bool
	cmd := vendorEdit(o, &cobra.Command{
		Use:   "rotate VENDOR",
		Short: "Give a vendor new secrets beside the old ones, and later take those away",
		Long: `Give a vendor new secrets and write them into a hand-over file. Old and new ones are good side by side until
"rotate --finish" takes the old ones away: calls may be signed with either, and events carry a signature for each.
Finish when the vendor says that it signs with the new one, and verifies with it.`,
		Example: `  parkctl vendor rotate acme-parking --stack parking-prod
  parkctl vendor rotate acme-parking --stack parking-prod --finish
  parkctl vendor rotate acme-parking --only request`,
	}, func(cmd *cobra.Command, b *book, id, name string, v vendorbook.Vendor) error {
		lists := map[string][]vendorbook.List{
			"": {vendorbook.Request, vendorbook.Webhook}, "request": {vendorbook.Request}, "webhook": {vendorbook.Webhook},
		}[only]
		if lists == nil {
			return usage("--only takes request or webhook")
		}
		if finish {
			return o.apply(cmd, b, id, name, fmt.Sprintf("Vendor %s's older secrets will stop working.", id),
				fmt.Sprintf("Vendor %s's older secrets are gone.", id), true,
				func(document []byte) ([]byte, error) { return vendorbook.Finish(document, id, v, lists...) })
		}
		request, webhook, err := newSecrets()
		if err != nil {
			return err
		}
		fresh := map[vendorbook.List]string{vendorbook.Request: request[0], vendorbook.Webhook: webhook[0]}
		change := func(document []byte) ([]byte, error) {
			for _, list := range lists {
				var err error
				if document, err = vendorbook.Rotate(document, id, list, fresh[list]); err != nil {
					return nil, err
				}
			}
			return document, nil
		}
		file := handover.File{BaseURL: cmp.Or(baseURL, b.BaseURL), VendorID: id, WebhookURL: v.WebhookURL, Events: eventsOf(v)}
		if file.RequestSecret = first(v.RequestSecrets); slices.Contains(lists, vendorbook.Request) {
			file.RequestSecret = fresh[vendorbook.Request]
		}
		if file.WebhookSecret = first(v.WebhookSecrets); slices.Contains(lists, vendorbook.Webhook) {
			file.WebhookSecret = fresh[vendorbook.Webhook]
		}
		for _, list := range lists {
			if current := map[vendorbook.List][]string{vendorbook.Request: v.RequestSecrets, vendorbook.Webhook: v.WebhookSecrets}[list]; len(current) > 1 {
				return fmt.Errorf("%s: %s: %w", id, list, vendorbook.ErrRotating)
			}
		}
		if err := o.write(cmd, b.Deployment, fmt.Sprintf("Vendor %s will get new secrets beside its old ones.", id), false); err != nil {
			return err
		}
		path := cmp.Or(out, id+".gateway.env")
		if err := b.handOver(cmd.Context(), path, file, name, change); err != nil {
			return err
		}
		return o.tell(cmd, changed{id, name, true, path}, fmt.Sprintf(
			"Vendor %s has new secrets beside its old ones. Hand over %s by a confidential channel, then delete it. %s\nWhen the vendor uses the new ones: parkctl vendor rotate %s --finish",
			id, path, cacheTime, id))
	})
	cmd.Flags().StringVar(&out, "out", "", "the hand-over file, which must not exist (default VENDOR.gateway.env)")
	cmd.Flags().StringVar(&baseURL, "base-url", "", "the gateway's address for the hand-over file (default: the stack's)")
	cmd.Flags().StringVar(&only, "only", "", "request or webhook: rotate that secret alone")
	cmd.Flags().BoolVar(&finish, "finish", false, "take the older secrets away")
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions([]string{"request", "webhook"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func vendorSwitchCommand(s *settings, verb string, disabled bool) *cobra.Command {
	o := &vendorOptions{settings: s}
	short, what := "Serve a disabled vendor again", "served again"
	if disabled {
		short, what = "Refuse a vendor's calls and park its events, until it is enabled again", "refused"
	}
	return vendorEdit(o, &cobra.Command{
		Use:     verb + " VENDOR",
		Short:   short,
		Example: "  parkctl vendor " + verb + " acme-parking --stack parking-prod",
	}, func(cmd *cobra.Command, b *book, id, name string, _ vendorbook.Vendor) error {
		return o.apply(cmd, b, id, name, fmt.Sprintf("Vendor %s will be %s.", id, what), fmt.Sprintf("Vendor %s is %sd.", id, verb), false,
			func(document []byte) ([]byte, error) { return vendorbook.SetDisabled(document, id, disabled) })
	})
}

func vendorRemoveCommand(s *settings) *cobra.Command {
	o := &vendorOptions{settings: s}
	return vendorEdit(o, &cobra.Command{
		Use:     "remove VENDOR",
		Short:   "Remove a vendor with its secrets and merchants, for good",
		Example: "  parkctl vendor remove acme-parking --stack parking-prod",
	}, func(cmd *cobra.Command, b *book, id, name string, _ vendorbook.Vendor) error {
		what := fmt.Sprintf("Vendor %s and its secrets will be removed for good; its undelivered events will go to the dead-letter queue.", id)
		if err := o.write(cmd, b.Deployment, what, true); err != nil {
			return err
		}
		pages, err := b.read(cmd.Context())
		if err != nil {
			return err
		}
		// The secret with its own fields last: what is left of it elsewhere, should this be cut short, is still a vendor.
		slices.SortStableFunc(pages, func(x, y page) int { return cmp.Compare(btoi(x.name == name), btoi(y.name == name)) })
		for _, p := range pages {
			if _, has := p.vendors[id]; !has {
				continue
			}
			if _, err := b.edit(cmd.Context(), p.name, func(document []byte) ([]byte, error) { return vendorbook.Remove(document, id) }); err != nil {
				return err
			}
		}
		return o.tell(cmd, changed{Vendor: id, Secret: name, Changed: true}, fmt.Sprintf("Vendor %s is removed. %s", id, cacheTime))
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// removeMerchant takes a merchant out of every secret in which the vendor has it, and tells of each.
func (b *book) removeMerchant(ctx context.Context, id, subMchID string, tell func(secret string) error) error {
	pages, err := b.read(ctx)
	if err != nil {
		return err
	}
	removed := false
	for _, p := range pages {
		if !slices.ContainsFunc(p.vendors[id].Merchants, func(m vendorbook.Merchant) bool { return m.SubMchID == subMchID }) {
			continue
		}
		if _, err := b.edit(ctx, p.name, func(document []byte) ([]byte, error) { return vendorbook.RemoveMerchant(document, id, subMchID) }); err != nil {
			return err
		}
		removed = true
		if err := tell(p.name); err != nil {
			return err
		}
	}
	if !removed {
		return fmt.Errorf("%s: %w", id, vendorbook.ErrNoMerchant)
	}
	return nil
}

func vendorMerchantCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "merchant",
		Short: "Say which merchants a vendor acts for",
		Example: `  parkctl vendor merchant add acme-parking --sub-mchid 1900000109 --vehicle
  parkctl vendor merchant remove acme-parking --sub-mchid 1900000109`,
	}
	add := &vendorOptions{settings: s}
	flags := merchantFlags{}
	adding := vendorEdit(add, &cobra.Command{
		Use:   "add VENDOR",
		Short: "Let a vendor act for a merchant, or give the merchant another product",
		Example: `  parkctl vendor merchant add acme-parking --sub-mchid 1900000109 --vehicle-appid wxcbda96de0b165489
  parkctl vendor merchant add acme-parking --sub-mchid 1900000109 --brandid 1000 --circle-appid wx931386123456789e`,
	}, func(cmd *cobra.Command, b *book, id, name string, _ vendorbook.Vendor) error {
		merchant, err := flags.merchant()
		if err != nil {
			return err
		}
		if merchant == nil {
			return usage("name the merchant: --sub-mchid (none in mode direct), and --vehicle, --vehicle-appid, or --brandid with --circle-appid")
		}
		name = cmp.Or(b.chosen, name)
		return add.apply(cmd, b, id, name, fmt.Sprintf("Vendor %s will act for merchant %s.", id, shownMerchant(*merchant)),
			fmt.Sprintf("Vendor %s acts for merchant %s.", id, shownMerchant(*merchant)), false,
			func(document []byte) ([]byte, error) { return vendorbook.AddMerchant(document, id, *merchant) })
	})
	flags.register(adding)

	remove := &vendorOptions{settings: s}
	var subMchID string
	removing := vendorEdit(remove, &cobra.Command{
		Use:     "remove VENDOR",
		Short:   "Let a vendor act for a merchant no more",
		Example: "  parkctl vendor merchant remove acme-parking --sub-mchid 1900000109 --stack parking-prod",
	}, func(cmd *cobra.Command, b *book, id, _ string, _ vendorbook.Vendor) error {
		if subMchID == "" && !cmd.Flags().Changed("sub-mchid") {
			return usage(`name the merchant with --sub-mchid ("" in mode direct)`)
		}
		what := fmt.Sprintf("Vendor %s will no longer act for merchant %s.", id, cmp.Or(subMchID, "the merchant itself"))
		if err := remove.write(cmd, b.Deployment, what, true); err != nil {
			return err
		}
		return b.removeMerchant(cmd.Context(), id, subMchID, func(name string) error {
			return remove.tell(cmd, changed{Vendor: id, Secret: name, Changed: true}, fmt.Sprintf("Vendor %s acts for merchant %s no more. %s", id, cmp.Or(subMchID, "the merchant itself"), cacheTime))
		})
	})
	removing.Flags().StringVar(&subMchID, "sub-mchid", "", `the sub-merchant ("" in mode direct)`)
	cmd.AddCommand(adding, removing)
	return cmd
}
