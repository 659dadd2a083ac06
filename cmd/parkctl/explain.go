package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/explain"
	"wechat-parking-gateway/cmd/parkctl/handover"
)

// explainOptions say where the keys are, and when a message came.
type explainOptions struct {
	*settings
	secretNames
	merchantFile, merchantKeyFile, handover, at string
	vendorsFiles                                []string
}

func explainCommand(s *settings) *cobra.Command {
	o := explainOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "explain [FILE]",
		Short: "Say step by step why a captured message's signature verifies, or does not",
		Long: `Say step by step why a captured message's signature verifies, or does not, and name the cause.

FILE, or standard input, holds one message: a raw HTTP request or answer, also as curl -v shows it; header lines, an empty line
and the body; the JSON of an API Gateway event; or a V2 XML body alone. Any message that passes through the gateway is known:
a vendor's request, an event to a vendor, WeChat Pay's V2 and V3 callbacks and answers, and the gateway's own requests.

The keys are those of the stack's secrets, or of files. None is shown: keys are named by their place. The text that was signed
is shown as it is, with the plates and openids that are in the message; it goes nowhere but to your terminal.

Exit 1 when the signature does not verify. A message that was captured long ago is not stale for that reason alone: say when
it came with --at; an API Gateway event and an answer's Date header say so themselves.`,
		Example: `  parkctl explain callback.txt --stack parking-prod
  parkctl explain request.txt --handover acme-parking.gateway.env --at 2026-11-30T12:00:00+08:00
  pbpaste | parkctl explain --json | jq -r .cause`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	o.secretNames.register(cmd)
	cmd.Flags().StringVar(&o.merchantFile, "merchant-file", "", "file with the merchant's document, in place of the stack's secret")
	cmd.Flags().StringVar(&o.merchantKeyFile, "merchant-key-file", "", "file with the private key's document")
	cmd.Flags().StringArrayVar(&o.vendorsFiles, "vendors-file", nil, "file with a vendors document; may be repeated")
	cmd.Flags().StringVar(&o.handover, "handover", "", "a vendor's hand-over file")
	cmd.Flags().StringVar(&o.at, "at", "", "when the message was received, RFC 3339 (default: now, or what the capture says)")
	return cmd
}

func (o *explainOptions) run(cmd *cobra.Command, args []string) error {
	at := time.Now()
	if o.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, o.at); err != nil {
			return usage("--at wants a time such as 2026-11-30T12:00:00+08:00")
		}
	}
	in := cmd.InOrStdin()
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	} else if isTerminal(in) {
		fmt.Fprintln(cmd.ErrOrStderr(), "Paste the message, then Ctrl-D.")
	}
	capture, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return err
	}
	message, err := explain.Parse(capture)
	if err != nil {
		return err
	}
	keys, err := o.keys(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if o.at != "" {
		message.At = time.Time{} // what the operator says counts
	}
	return o.tell(cmd, explain.Explain(message, keys, at))
}

// keys takes the keys from files where any is named, else from the stack's secrets.
func (o *explainOptions) keys(ctx context.Context, log io.Writer) (explain.Keys, error) {
	var documents explain.Documents
	files := o.merchantFile != "" || o.merchantKeyFile != "" || len(o.vendorsFiles) > 0 || o.handover != ""
	if files {
		for path, document := range map[string]*[]byte{o.merchantFile: &documents.Merchant, o.merchantKeyFile: &documents.MerchantKey} {
			if path == "" {
				continue
			}
			text, err := readText(path)
			if err != nil {
				return explain.Keys{}, err
			}
			*document = []byte(text)
		}
		for _, path := range o.vendorsFiles {
			text, err := readText(path)
			if err != nil {
				return explain.Keys{}, err
			}
			documents.Vendors = append(documents.Vendors, []byte(text))
		}
	} else if err := o.stored(ctx, log, &documents); err != nil {
		return explain.Keys{}, err
	}
	keys, remarks := explain.NewKeys(documents)
	for _, remark := range remarks {
		fmt.Fprintln(log, remark)
	}
	if o.handover != "" {
		file, err := handover.Read(o.handover)
		if err != nil {
			return keys, err
		}
		keys.AddVendor(file.VendorID, []string{file.RequestSecret}, []string{file.WebhookSecret})
	}
	return keys, nil
}

// stored reads the stack's secrets, those that may be read.
func (o *explainOptions) stored(ctx context.Context, log io.Writer, documents *explain.Documents) error {
	d, err := o.settings.open(ctx)
	if err != nil {
		return fmt.Errorf("%w; or give the keys by --merchant-file, --merchant-key-file, --vendors-file or --handover", err)
	}
	o.secretNames.fill(d)
	read, failed := 0, error(nil)
	fetch := func(name string) []byte {
		document, err := d.Secret(ctx, name)
		if err != nil {
			failed = errors.Join(failed, err)
			fmt.Fprintf(log, "without the keys of %s: %v\n", name, err)
			return nil
		}
		read++
		return document
	}
	documents.Merchant, documents.MerchantKey = fetch(d.MerchantSecret), fetch(d.MerchantKeySecret)
	for _, name := range d.VendorsSecrets {
		if document := fetch(name); document != nil {
			documents.Vendors = append(documents.Vendors, document)
		}
	}
	if read == 0 {
		return failed
	}
	return nil
}

func (o *explainOptions) tell(cmd *cobra.Command, report explain.Report) error {
	out := cmd.OutOrStdout()
	if o.json {
		if err := emit(out, report); err != nil {
			return err
		}
	} else {
		for i, step := range report.Steps {
			mark := " "
			if step.OK != nil {
				mark = painted(out, red, "✗")
				if *step.OK {
					mark = painted(out, green, "✓")
				}
			}
			fmt.Fprintf(out, "%2d %s %-13s %s\n", i+1, mark, step.What, step.Detail)
		}
		word := painted(out, red, "does not verify")
		if report.Verified {
			word = painted(out, green, "verifies")
		}
		fmt.Fprintf(out, "\n%s: %s\n%s\n", word, report.Cause, report.Why)
		if report.Do != "" {
			fmt.Fprintf(out, "→ %s\n", report.Do)
		}
	}
	if !report.Verified {
		return errSilent
	}
	return nil
}
