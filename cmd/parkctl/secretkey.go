package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/keyring"
	"wechat-parking-gateway/cmd/parkctl/secretdoc"
	"wechat-parking-gateway/shared/secretstore"
)

// effect says when the functions go by what was written.
const effect = "The functions go by it within 5 minutes, without a deployment or a restart."

func keyCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Add, order and take away the merchant's keys, one step of a rotation at a time",
		Long: `Add, order and take away the keys in the merchant's secret, one step of a rotation at a time. docs/rotation.md says in which
order the steps lose no callback and no call. A step that would take the last key away is refused. Others may edit the secret
with parkctl at the same time; nobody's change is lost. No key is shown, and none is given by a flag: flags name files, or - for
standard input.`,
		Example: "  parkctl secret key list\n  parkctl secret key add apiv2 --file new-v2.txt --stack parking-prod",
	}
	cmd.AddCommand(keyListCommand(s), keyAddCommand(s), keyPromoteCommand(s), keyRemoveCommand(s), keyRespondCommand(s))
	return cmd
}

// keyOptions are the flags of the commands that edit the merchant's secrets.
type keyOptions struct {
	*settings
	consent
	secret string
}

func (o *keyOptions) register(cmd *cobra.Command, writes bool) {
	cmd.Flags().StringVar(&o.secret, "merchant-secret", "", "name of the merchant's secret (default: the stack's)")
	if writes {
		o.consent.register(cmd)
	}
}

// edited is what a command that edits tells machines.
type edited struct {
	Secret  string `json:"secret"`
	Changed bool   `json:"changed"`
}

// edit changes the merchant's secret beside others who do, and tells what became of it. What is final cannot be undone with
// what the secret holds afterwards.
func (o *keyOptions) edit(cmd *cobra.Command, what string, final bool, change func([]byte) ([]byte, error)) error {
	d, err := secretNames{merchant: o.secret}.open(cmd, o.settings)
	if err != nil {
		return err
	}
	store := secretstore.New(secretsmanager.NewFromConfig(d.AWS))
	if err := o.write(cmd, d, fmt.Sprintf("%s in the secret %s.", what, d.MerchantSecret), final); err != nil {
		return err
	}
	return o.store(cmd, store, d.MerchantSecret, what, change)
}

func (o *keyOptions) store(cmd *cobra.Command, store *secretstore.Store, name, what string, change func([]byte) ([]byte, error)) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), editPatience)
	defer cancel()
	result, err := store.Edit(ctx, name, change)
	if err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	if o.json {
		return emit(cmd.OutOrStdout(), edited{name, result.Written})
	}
	text := fmt.Sprintf("%s in the secret %s. %s", what, name, effect)
	if !result.Written {
		text = "It was so already; nothing was written."
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

func keyListCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the merchant's keys without their values: which signs, which verify, when certificates expire",
		Example: "  parkctl secret key list --stack parking-prod",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := secretNames{merchant: o.secret}.open(cmd, s)
			if err != nil {
				return err
			}
			v, err := secretstore.New(secretsmanager.NewFromConfig(d.AWS)).Read(cmd.Context(), d.MerchantSecret)
			if err != nil {
				return err
			}
			keys, err := keyring.List(v.Document)
			if err != nil {
				return fmt.Errorf("secret %s: %w (`parkctl secret check` tells more)", d.MerchantSecret, err)
			}
			t := newTable(cmd.OutOrStdout())
			if !o.json {
				row(t, "KIND", "NAME", "EXPIRES", "USE")
			}
			for _, k := range keys {
				if o.json {
					if err := emit(cmd.OutOrStdout(), k); err != nil {
						return err
					}
					continue
				}
				expires := "-"
				if !k.Expires.IsZero() {
					expires = k.Expires.Format(time.DateOnly)
				}
				row(t, string(k.Kind), k.Name, expires, k.Use)
			}
			return t.Flush()
		},
	}
	o.register(cmd, false)
	return cmd
}

func keyAddCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	var file string
	var last bool
	cmd := &cobra.Command{
		Use:   "add {apiv2|apiv3|wechatpay} [PUB_KEY_ID] --file FILE",
		Short: "Add an APIv2 or APIv3 key, a WeChat Pay public key or a platform certificate",
		Long: `Add an APIv2 or APIv3 key in front of its list, a WeChat Pay public key under its id, or a platform certificate under its
serial number, which is read from it. The first APIv2 key signs; where WeChat Pay rejects its signature, the next one signs,
so that a new key can stand in front before the merchant console has it. A public key changes nothing of answers until
"parkctl secret key respond" names it; where they are signed with certificates and none is named, the one that became valid
last is asked for.`,
		Example: `  parkctl secret key add apiv2 --file new-v2.txt
  parkctl secret key add apiv3 --file new-v3.txt --stack parking-prod
  parkctl secret key add wechatpay PUB_KEY_ID_0000000000000024101100397200000006 --file pub_key.pem
  parkctl secret key add wechatpay --file platform.pem`,
		Args: cobra.RangeArgs(1, 2), ValidArgs: kindNames(keyring.Kinds()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := kindOf(args[0], keyring.Kinds()...)
			if err != nil {
				return err
			}
			id := ""
			if len(args) == 2 {
				id = args[1]
			}
			switch {
			case file == "":
				return usage("--file is missing: it names the file with the key")
			case kind != keyring.WeChatPay && id != "":
				return usage("an %s key has no id", kind)
			case kind == keyring.WeChatPay && last:
				return usage("--last is for apiv2 and apiv3; what WeChat Pay signs with has no order")
			}
			if kind == keyring.WeChatPay {
				text, err := readText(file)
				if err != nil {
					return err
				}
				what := "WeChat Pay's key " + cmp.Or(id, "of the certificate in "+file) + " is added"
				return o.edit(cmd, what, false, func(document []byte) ([]byte, error) { return keyring.AddWeChatPay(document, id, text) })
			}
			key, err := readKey(file, bufio.NewReader(cmd.InOrStdin()))
			if err != nil {
				return err
			}
			what := fmt.Sprintf("A new %s key comes first", kind)
			if last {
				what = fmt.Sprintf("A new %s key comes last", kind)
			}
			return o.edit(cmd, what, false, func(document []byte) ([]byte, error) { return keyring.AddSecret(document, kind, key, last) })
		},
	}
	o.register(cmd, true)
	cmd.Flags().StringVar(&file, "file", "", "file with the key, or - for a line of standard input (apiv2, apiv3)")
	cmd.Flags().BoolVar(&last, "last", false, "put it behind the others instead of in front")
	return cmd
}

func keyPromoteCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	cmd := &cobra.Command{
		Use:     "promote {apiv2|apiv3} PLACE",
		Short:   "Bring a key to the front of its list: the way back of a rotation",
		Example: "  parkctl secret key promote apiv2 2",
		Args:    cobra.ExactArgs(2), ValidArgs: kindNames(keyring.APIv2, keyring.APIv3),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := kindOf(args[0], keyring.APIv2, keyring.APIv3)
			if err != nil {
				return err
			}
			return o.edit(cmd, fmt.Sprintf("The %s key %s comes first", kind, args[1]), false, keyring.Meant(kind, args[1], func(document []byte) ([]byte, error) {
				return keyring.Promote(document, kind, args[1])
			}))
		},
	}
	o.register(cmd, true)
	return cmd
}

func keyRemoveCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "remove {apiv2|apiv3|wechatpay} {PLACE|ID}",
		Short: "Take a key away; never the last one, nor the one that answers are signed with",
		Example: `  parkctl secret key remove apiv2 2 --yes
  parkctl secret key remove wechatpay 5157F09EFDC096DE15EBE81A47057A7232F1B8E1 --yes`,
		Args: cobra.ExactArgs(2), ValidArgs: kindNames(keyring.Kinds()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := kindOf(args[0], keyring.Kinds()...)
			if err != nil {
				return err
			}
			return o.edit(cmd, fmt.Sprintf("The %s key %s is taken away", kind, args[1]), true, keyring.Meant(kind, args[1], func(document []byte) ([]byte, error) {
				return keyring.Remove(document, kind, args[1], time.Now())
			}))
		},
	}
	o.register(cmd, true)
	return cmd
}

func keyRespondCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	byDefault := false
	cmd := &cobra.Command{
		Use:   "respond {ID|--default}",
		Short: "Name the key that WeChat Pay is asked to sign its answers with",
		Long: `Name the key that WeChat Pay is asked to sign its answers with: it goes out with every APIv3 request, as Wechatpay-Serial.
With --default that is the WeChat Pay public key, or else the certificate that became valid last.`,
		Example: `  parkctl secret key respond PUB_KEY_ID_0000000000000024101100397200000006
  parkctl secret key respond --default`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if byDefault == (len(args) == 1) {
				return usage("name a key, or give --default")
			}
			id, what := "", "Answers are asked to be signed with the default key"
			if len(args) == 1 {
				id, what = args[0], "Answers are asked to be signed with "+args[0]
			}
			return o.edit(cmd, what, false, func(document []byte) ([]byte, error) { return keyring.Respond(document, id) })
		},
	}
	o.register(cmd, true)
	cmd.Flags().BoolVar(&byDefault, "default", false, "leave it to the default")
	return cmd
}

func merchantKeyCommand(s *settings) *cobra.Command {
	o := keyOptions{settings: s}
	var privateKey, certificate, name string
	cmd := &cobra.Command{
		Use:   "merchant-key",
		Short: "Replace the merchant's private key and the serial number of its certificate, both at once",
		Long: `Replace the merchant's private key and the serial number of its API certificate, both at once. They are checked to belong
together. WeChat Pay takes signatures of every certificate that is neither expired nor revoked, so that the old one is revoked
in the merchant console only afterwards; until then, the same command with the old files is the way back.`,
		Example: "  parkctl secret merchant-key --private-key apiclient_key.pem --cert apiclient_cert.pem --stack parking-prod",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			private, err := readText(privateKey)
			if err != nil {
				return err
			}
			public, err := readText(certificate)
			if err != nil {
				return err
			}
			key, c, err := secretdoc.MakeKey(private, public)
			if err != nil {
				return err
			}
			if now := time.Now(); now.After(c.NotAfter) || now.Before(c.NotBefore) {
				return fmt.Errorf("the certificate is valid from %s to %s, and not now", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
			}
			document, err := secretdoc.JSON(key)
			if err != nil {
				return err
			}
			d, err := secretNames{merchantKey: name}.open(cmd, s)
			if err != nil {
				return err
			}
			what := "The private key of the certificate " + key.SerialNo + " signs"
			if err := o.write(cmd, d, fmt.Sprintf("%s, by the secret %s.", what, d.MerchantKeySecret), false); err != nil {
				return err
			}
			return o.store(cmd, secretstore.New(secretsmanager.NewFromConfig(d.AWS)), d.MerchantKeySecret, what, func([]byte) ([]byte, error) { return document, nil })
		},
	}
	o.consent.register(cmd)
	cmd.Flags().StringVar(&name, "merchant-key-secret", "", "name of the private key's secret (default: the stack's)")
	cmd.Flags().StringVar(&privateKey, "private-key", "apiclient_key.pem", "the merchant's private key")
	cmd.Flags().StringVar(&certificate, "cert", "apiclient_cert.pem", "the merchant's API certificate")
	return cmd
}

// kindOf reads the name of a kind.
func kindOf(name string, kinds ...keyring.Kind) (keyring.Kind, error) {
	for _, k := range kinds {
		if string(k) == name {
			return k, nil
		}
	}
	return "", usage("%q is no kind of key; there are %s", name, strings.Join(kindNames(kinds...), ", "))
}

func kindNames(kinds ...keyring.Kind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return names
}
