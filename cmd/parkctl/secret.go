package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"wechat-parking-gateway/cmd/parkctl/deployment"
	"wechat-parking-gateway/cmd/parkctl/secretdoc"
	"wechat-parking-gateway/cmd/parkctl/vendorbook"
	"wechat-parking-gateway/shared/signing"
)

func secretCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Make the merchant's secrets from the console's files, and check them",
		Long: `Make the merchant's secrets from the files that WeChat Pay's merchant console gives out, and check what is stored.

No command shows a key, and no key is given by a flag: flags name files, or - for standard input.`,
		Example: "  parkctl secret init --help\n  parkctl secret check --stack parking-prod",
	}
	cmd.AddCommand(secretInitCommand(s), secretCheckCommand(s), keyCommand(s), merchantKeyCommand(s))
	return cmd
}

// secretNames are the flags that name secrets.
type secretNames struct {
	merchant, merchantKey string
	vendors               []string
}

func (n *secretNames) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.merchant, "merchant-secret", "", "name of the merchant's secret (default: the stack's, or "+deployment.DefaultMerchantSecret+")")
	cmd.Flags().StringVar(&n.merchantKey, "merchant-key-secret", "", "name of the private key's secret (default: the stack's, or "+deployment.DefaultMerchantKeySecret+")")
	cmd.Flags().StringSliceVar(&n.vendors, "vendors-secret", nil, "names of the vendors' secrets (default: the stack's, or "+deployment.DefaultVendorsSecret+")")
}

// fill takes the names from the flags, else from the stack, else from the template's defaults.
func (n secretNames) fill(d *deployment.Deployment) {
	d.MerchantSecret = cmp.Or(n.merchant, d.MerchantSecret, deployment.DefaultMerchantSecret)
	d.MerchantKeySecret = cmp.Or(n.merchantKey, d.MerchantKeySecret, deployment.DefaultMerchantKeySecret)
	if len(n.vendors) > 0 {
		d.VendorsSecrets = n.vendors
	}
	if len(d.VendorsSecrets) == 0 {
		d.VendorsSecrets = []string{deployment.DefaultVendorsSecret}
	}
}

// open finds the gateway's secrets. The stack need not exist yet: secrets are made before it.
func (n secretNames) open(cmd *cobra.Command, s *settings) (*deployment.Deployment, error) {
	d, err := s.open(cmd.Context())
	if errors.Is(err, deployment.ErrNoStack) {
		fmt.Fprintf(cmd.ErrOrStderr(), "There is no stack %s in region %s yet; the secrets' names are those of the flags, or the template's defaults.\n", d.Stack, d.Region)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	n.fill(d)
	return d, nil
}

func secretCheckCommand(s *settings) *cobra.Command {
	var names secretNames
	var certificate string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check what is stored: what the functions refuse, and what they put up with",
		Long: `Check what is stored. Errors are what a function refuses, or what keeps one from its work; warnings are what it puts up
with although it does not work, or will not for long. Each names the field and says why and what to do; no value is shown.
Exit 1 when there is an error.

The merchant's own certificate is not stored; with --cert, the private key and the serial number are compared with it.`,
		Example: `  parkctl secret check
  parkctl secret check --stack parking-prod --cert apiclient_cert.pem
  parkctl secret check --json | jq -r 'select(.level == "error") | .field'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := names.open(cmd, s)
			if err != nil {
				return err
			}
			set, err := secretSet(cmd.Context(), d)
			if err != nil {
				return err
			}
			if certificate != "" {
				if set.Certificate, err = readText(certificate); err != nil {
					return err
				}
			}
			return tellReport(cmd, s, secretdoc.Check(set, time.Now()))
		},
	}
	names.register(cmd)
	cmd.Flags().StringVar(&certificate, "cert", "", "the merchant's API certificate, apiclient_cert.pem")
	return cmd
}

// secretSet fetches the secrets of a gateway for a check.
func secretSet(ctx context.Context, d *deployment.Deployment) (secretdoc.Set, error) {
	set := secretdoc.Set{AllowLoopback: d.Local}
	fetch := func(name string) (secretdoc.Secret, error) {
		document, err := d.Secret(ctx, name)
		if errors.Is(err, deployment.ErrNoSecret) {
			return secretdoc.Secret{Name: name, Missing: err}, nil
		}
		return secretdoc.Secret{Name: name, Document: document}, err
	}
	var err error
	if set.Merchant, err = fetch(d.MerchantSecret); err != nil {
		return set, err
	}
	if set.MerchantKey, err = fetch(d.MerchantKeySecret); err != nil {
		return set, err
	}
	for _, name := range d.VendorsSecrets {
		secret, err := fetch(name)
		if err != nil {
			return set, err
		}
		set.Vendors = append(set.Vendors, secret)
	}
	return set, nil
}

// tellReport writes a report, and ends with failedStatus when it holds an error.
func tellReport(cmd *cobra.Command, s *settings, report secretdoc.Report) error {
	out := cmd.OutOrStdout()
	errorsFound := 0
	for _, f := range report.Findings {
		if f.Level == secretdoc.Error {
			errorsFound++
		}
		if s.json {
			if err := emit(out, f); err != nil {
				return err
			}
			continue
		}
		word := painted(out, yellow, "warning")
		if f.Level == secretdoc.Error {
			word = painted(out, red, "error")
		}
		fmt.Fprintf(out, "%s  %s %s [%s]\n    %s\n    → %s\n", word, f.Secret, f.Field, f.Code, f.Why, f.Do)
	}
	if !s.json {
		for _, fact := range report.Facts {
			fmt.Fprintf(out, "%s  %s\n", painted(out, green, "ok"), fact)
		}
		fmt.Fprintf(out, "%s, %s\n", counted(errorsFound, "error"), counted(len(report.Findings)-errorsFound, "warning"))
	}
	if report.Failed() {
		return errSilent
	}
	return nil
}

// counted puts a number before a word.
func counted(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprint(n, " ", word)
}

// initOptions are the flags of secret init.
type initOptions struct {
	*settings
	consent
	secretNames
	mode, mchID, appID                    string
	privateKey, certificate               string
	publicKeys, platforms, v2Keys, v3Keys []string
	logHashKey, responseKeyID, kmsKeyID   string
	force, dryRun                         bool
}

func secretInitCommand(s *settings) *cobra.Command {
	o := initOptions{settings: s}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the merchant's, the private key's and an empty vendors secret",
		Long: `Make the merchant's secret, that of its private key and an empty one for vendors, from the files of the merchant console.
Everything is checked before anything is stored: the lengths of keys, that private key and certificate belong together, that
nothing has expired, the ids of public keys; the serial numbers are read from the certificates. A secret that exists is left
alone unless --force is given, which writes a new version of the merchant's two; one with vendors is never overwritten.

Keys are never given by a flag, whose value others on the machine can see. A file holds one key; - reads one line from
standard input for each time that it is named.`,
		Example: `  parkctl secret init --mode partner --mchid 1900000100 --appid wxcbda96de0b165486 \
      --private-key apiclient_key.pem --cert apiclient_cert.pem \
      --public-key PUB_KEY_ID_0000000000000024101100397200000006=pub_key.pem \
      --api-v2-key-file v2.txt --api-v3-key-file v3.txt --stack parking-prod
  pass show wechatpay/v3 | parkctl secret init … --api-v3-key-file - --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.secretNames.register(cmd)
	o.consent.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.mode, "mode", "", "partner for a service provider (服务商), direct for a merchant that calls for itself")
	f.StringVar(&o.mchID, "mchid", "", "the merchant's number")
	f.StringVar(&o.appID, "appid", "", "the merchant's own appid")
	f.StringVar(&o.privateKey, "private-key", "apiclient_key.pem", "the merchant's private key")
	f.StringVar(&o.certificate, "cert", "apiclient_cert.pem", "the merchant's API certificate")
	f.StringArrayVar(&o.publicKeys, "public-key", nil, "a WeChat Pay public key, ID=FILE; may be repeated")
	f.StringArrayVar(&o.platforms, "platform-cert", nil, "a platform certificate's file; may be repeated")
	f.StringArrayVar(&o.v2Keys, "api-v2-key-file", nil, "file with the APIv2 key, or -; may be repeated, newest first")
	f.StringArrayVar(&o.v3Keys, "api-v3-key-file", nil, "file with the APIv3 key, or -; may be repeated, newest first")
	f.StringVar(&o.logHashKey, "log-hash-key-file", "", "file with the key of the hashes in logs (default: the stored one, or a new one)")
	f.StringVar(&o.responseKeyID, "response-key-id", "", "the key that WeChat Pay is asked to sign answers with (default: the public key)")
	f.StringVar(&o.kmsKeyID, "kms-key-id", "", "KMS key to encrypt new secrets with (default: the stack's parameter SecretsKmsKeyArn, or AWS's own)")
	f.BoolVar(&o.force, "force", false, "write a new version where the merchant's secrets exist")
	f.BoolVar(&o.dryRun, "dry-run", false, "check the files and say what would be made, and store nothing")
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"partner", "direct"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *initOptions) run(cmd *cobra.Command) error {
	for name, value := range map[string]string{"mode": o.mode, "mchid": o.mchID, "appid": o.appID} {
		if value == "" {
			return usage("--%s is missing: it is needed for the merchant's secret", name)
		}
	}
	d, err := o.secretNames.open(cmd, o.settings)
	if err != nil {
		return err
	}
	doc, key, set, err := o.documents(cmd.InOrStdin(), d)
	if err != nil {
		return err
	}
	exists, err := o.existing(cmd.Context(), d, doc)
	if err != nil {
		return err
	}
	if set.Merchant.Document, err = secretdoc.JSON(doc); err != nil {
		return err
	}
	if set.MerchantKey.Document, err = secretdoc.JSON(key); err != nil {
		return err
	}
	report := secretdoc.Check(set, time.Now())
	if report.Failed() || o.dryRun || !o.json && len(report.Findings) > 0 {
		if err := tellReport(cmd, o.settings, report); err != nil {
			return err
		}
	}
	if o.dryRun {
		return nil
	}
	if len(exists) > 0 && !o.force {
		return fmt.Errorf("there is a secret already: %s. Nothing was changed; --force writes a new version of it", strings.Join(exists, ", "))
	}
	what := fmt.Sprintf("The secrets %s and %s will be made, and %s where it does not exist.", d.MerchantSecret, d.MerchantKeySecret, strings.Join(d.VendorsSecrets, ", "))
	if len(exists) > 0 {
		what = fmt.Sprintf("The secrets %s will get a new version.", strings.Join(exists, ", "))
	}
	if err := o.write(cmd, d, what, len(exists) > 0); err != nil {
		return err
	}
	o.kmsKeyID = cmp.Or(o.kmsKeyID, d.Parameters["SecretsKmsKeyArn"])
	client := secretsmanager.NewFromConfig(d.AWS)
	// The private key first: nothing signs before the merchant's secret is there, too.
	for _, secret := range []secretdoc.Secret{set.MerchantKey, set.Merchant} {
		if err := o.store(cmd, client, secret.Name, secret.Document, o.force); err != nil {
			return err
		}
	}
	for _, name := range d.VendorsSecrets {
		if err := o.store(cmd, client, name, []byte(vendorbook.Empty), false); err != nil {
			return err
		}
	}
	return nil
}

// documents makes the merchant's documents of the files.
func (o *initOptions) documents(in io.Reader, d *deployment.Deployment) (*secretdoc.Merchant, *secretdoc.MerchantKey, secretdoc.Set, error) {
	set := secretdoc.Set{
		Merchant: secretdoc.Secret{Name: d.MerchantSecret}, MerchantKey: secretdoc.Secret{Name: d.MerchantKeySecret},
		AllowLoopback: d.Local,
	}
	privateKey, err := readText(o.privateKey)
	if err != nil {
		return nil, nil, set, err
	}
	if set.Certificate, err = readText(o.certificate); err != nil {
		return nil, nil, set, err
	}
	key, _, err := secretdoc.MakeKey(privateKey, set.Certificate)
	if err != nil {
		return nil, nil, set, err
	}
	doc := &secretdoc.Merchant{
		Mode: o.mode, MchID: o.mchID, AppID: o.appID, APIv2Keys: []string{}, APIv3Keys: []string{}, WeChatPayKeys: map[string]string{},
		ResponseKeyID: o.responseKeyID,
	}
	for _, pair := range o.publicKeys {
		id, path, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, nil, set, usage("--public-key wants ID=FILE, for instance PUB_KEY_ID_…=pub_key.pem")
		}
		text, err := readText(path)
		if err == nil {
			err = secretdoc.MakePublicKey(id, text)
		}
		if err != nil {
			return nil, nil, set, fmt.Errorf("--public-key %s: %w", path, err)
		}
		doc.WeChatPayKeys[id] = text
	}
	for _, path := range o.platforms {
		text, err := readText(path)
		if err != nil {
			return nil, nil, set, err
		}
		certificate, err := signing.ParseCertificate(text)
		if err != nil {
			return nil, nil, set, fmt.Errorf("--platform-cert %s: %w", path, err)
		}
		doc.WeChatPayKeys[secretdoc.Serial(certificate)] = text
	}
	lines := bufio.NewReader(in)
	for _, list := range []struct {
		paths []string
		keys  *[]string
	}{{o.v2Keys, &doc.APIv2Keys}, {o.v3Keys, &doc.APIv3Keys}} {
		for _, path := range list.paths {
			text, err := readKey(path, lines)
			if err != nil {
				return nil, nil, set, err
			}
			*list.keys = append(*list.keys, text)
		}
	}
	if o.logHashKey != "" {
		if doc.LogHashKey, err = readKey(o.logHashKey, lines); err != nil {
			return nil, nil, set, err
		}
	}
	return doc, &key, set, nil
}

// existing names those of the merchant's two secrets that exist, and keeps the stored log_hash_key: with another one, the
// plates of older log lines are not found.
func (o *initOptions) existing(ctx context.Context, d *deployment.Deployment, doc *secretdoc.Merchant) ([]string, error) {
	var exists []string
	for _, name := range []string{d.MerchantSecret, d.MerchantKeySecret} {
		stored, err := d.Secret(ctx, name)
		if errors.Is(err, deployment.ErrNoSecret) {
			continue
		}
		if err != nil {
			if o.dryRun {
				continue // files can be checked without an account
			}
			return nil, err
		}
		exists = append(exists, name)
		var old secretdoc.Merchant
		if name == d.MerchantSecret && doc.LogHashKey == "" && json.Unmarshal(stored, &old) == nil {
			doc.LogHashKey = old.LogHashKey
		}
	}
	if doc.LogHashKey == "" {
		doc.LogHashKey = rand.Text()
	}
	return exists, nil
}

// made says what became of a secret, for machines.
type made struct {
	Secret string `json:"secret"`
	Result string `json:"result"` // created, new version, or left alone
}

// store makes a secret. One that exists gets a new version, or is left alone.
func (o *initOptions) store(cmd *cobra.Command, client *secretsmanager.Client, name string, document []byte, overwrite bool) error {
	text, ctx := string(document), cmd.Context()
	in := &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}
	if o.kmsKeyID != "" {
		in.KmsKeyId = &o.kmsKeyID
	}
	result := "created"
	_, err := client.CreateSecret(ctx, in)
	if _, exists := errors.AsType[*types.ResourceExistsException](err); exists {
		result, err = "left alone", nil
		if overwrite {
			result = "new version"
			_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &text})
		}
	}
	if err != nil {
		return storeError(name, err)
	}
	if o.json {
		return emit(cmd.OutOrStdout(), made{name, result})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, result)
	return err
}

// storeError tells why a secret was not stored. The message of a request that was refused may repeat what was sent.
func storeError(name string, err error) error {
	text := "Secrets Manager does not answer; look what is there with `parkctl secret check` before you repeat this"
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = api.ErrorCode()
		switch text {
		case "AccessDeniedException", "InvalidRequestException": // who may not do what; the secret is scheduled for deletion
			text += ": " + api.ErrorMessage()
		}
	}
	return fmt.Errorf("storing the secret %s: %s", name, text)
}

// maxInput is more than any file of keys or message has, in bytes.
const maxInput = 1 << 20

// readText reads a file of moderate size.
func readText(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxInput))
	return string(b), err
}

// readKey reads a key from a file or, for -, from the next line of standard input, without the line's end.
func readKey(path string, stdin *bufio.Reader) (string, error) {
	if path == "-" {
		line, err := stdin.ReadString('\n')
		if line == "" && err != nil {
			return "", usage("a key was to come from standard input, and there is none")
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	text, err := readText(path)
	return strings.TrimRight(text, "\r\n"), err
}
