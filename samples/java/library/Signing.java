import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookSigningException;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Standard Webhooks signatures, with the library com.standardwebhooks:standardwebhooks. */
final class Signing {
    private Signing() {}

    /** Returns the webhook-signature header. body: the very bytes that are sent. */
    static String sign(String secret, String id, long timestamp, byte[] body) throws WebhookSigningException {
        return new Webhook(secret).sign(id, timestamp, new String(body, StandardCharsets.UTF_8));
    }

    /** Tells whether an event is genuine. A header that did not come is null; body: the very bytes that came. */
    static boolean verify(String secret, String id, String timestamp, String signatures, byte[] body) {
        Map<String, List<String>> headers = new HashMap<>();
        headers.put("webhook-id", Collections.singletonList(id));
        headers.put("webhook-timestamp", Collections.singletonList(timestamp));
        headers.put("webhook-signature", Collections.singletonList(signatures));
        try {
            new Webhook(secret).verify(new String(body, StandardCharsets.UTF_8), headers);
            return true;
        } catch (WebhookVerificationException e) {
            return false;
        }
    }
}
