package wechatpaysim

import (
	"fmt"
	"net/http"
	"time"
)

// RouteCertificates is the route of 下载平台证书, a GET.
const RouteCertificates = "/v3/certificates"

// certificateData is the associated data of every certificate's encryption.
const certificateData = "certificate"

type certificateList struct {
	Data []certificateItem `json:"data"`
}

type certificateItem struct {
	SerialNo      string               `json:"serial_no"`
	EffectiveTime string               `json:"effective_time"`
	ExpireTime    string               `json:"expire_time"`
	Encrypted     encryptedCertificate `json:"encrypt_certificate"`
}

type encryptedCertificate struct {
	Algorithm      string `json:"algorithm"`
	Nonce          string `json:"nonce"`
	AssociatedData string `json:"associated_data"`
	Ciphertext     string `json:"ciphertext"`
}

// checkDownload holds a request for the certificates against what may be asked.
func (s *Simulator) checkDownload(rec *Request, k *Keys) *refusal {
	switch {
	case len(rec.Body) > 0:
		return paramError("", "a GET has no body", "body", nil)
	case len(k.Certificates) == 0:
		return &refusal{status: http.StatusNotFound, code: "RESOURCE_NOT_EXISTS", message: "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥"}
	case k.APIv3Key == "":
		return invalid("未设置APIv3密钥")
	}
	return nil
}

// listCertificates writes the certificates in use, each encrypted with the APIv3 key.
func (s *Simulator) listCertificates(k *Keys, apiV3Key string) ([]byte, error) {
	list := certificateList{Data: []certificateItem{}}
	for _, c := range k.Certificates {
		nonce, err := s.random(alphanumeric, gcmNonceSize)
		if err != nil {
			return nil, err
		}
		sealed, err := sealGCM(apiV3Key, nonce, certificateData, []byte(c.PEM))
		if err != nil {
			return nil, err
		}
		list.Data = append(list.Data, certificateItem{
			SerialNo: c.Serial, EffectiveTime: c.NotBefore.In(beijing).Format(time.RFC3339), ExpireTime: c.NotAfter.In(beijing).Format(time.RFC3339),
			Encrypted: encryptedCertificate{"AEAD_AES_256_GCM", nonce, certificateData, sealed},
		})
	}
	body, err := marshal(list)
	if err != nil {
		return nil, fmt.Errorf("wechatpaysim: certificates: %w", err)
	}
	return body, nil
}
