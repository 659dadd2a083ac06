import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.ThreadLocalRandom;

/** Reports a car to the gateway, by both calls. The environment comes from gateway.env. */
public class Call {
    static int status;
    static String answer;

    /** Reports one fact, and keeps the last status and answer. It may take minutes: not for the barrier's thread. */
    static void call(String path, String id, String json) throws Exception {
        URL url = new URL(System.getenv("PARKING_GATEWAY_URL") + "/v1/vendors/" + System.getenv("PARKING_VENDOR_ID") + "/" + path);
        // The id names the fact (幂等键). A repeat has the same id and the same bytes, and a signature of its own time.
        byte[] body = json.getBytes(StandardCharsets.UTF_8); // never getBytes() alone: that is GBK on many Windows servers
        status = 0;
        answer = "no answer";
        long wait = 0;
        for (int attempt = 1; attempt < 5; attempt++) {
            Thread.sleep(wait);
            wait = ThreadLocalRandom.current().nextLong(1000, 1000L << attempt);
            long timestamp = System.currentTimeMillis() / 1000;
            HttpURLConnection connection = (HttpURLConnection) url.openConnection();
            connection.setConnectTimeout(3000);
            connection.setReadTimeout(9000); // together 12 seconds
            connection.setInstanceFollowRedirects(false);
            connection.setDoOutput(true);
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setRequestProperty("webhook-id", id);
            connection.setRequestProperty("webhook-timestamp", Long.toString(timestamp));
            connection.setRequestProperty("webhook-signature",
                    Signing.sign(System.getenv("PARKING_REQUEST_SECRET"), id, timestamp, body));
            try {
                try (OutputStream out = connection.getOutputStream()) {
                    out.write(body);
                }
                status = connection.getResponseCode();
                answer = read(status < 400 ? connection.getInputStream() : connection.getErrorStream());
                if (status < 500 && status != 409 && status != 429) {
                    return; // a repeat would be answered the same
                }
                wait = Math.max(wait, 1000L * connection.getHeaderFieldInt("Retry-After", 0));
            } catch (IOException e) {
                // no answer: the gateway may have acted or not, and the same id makes a repeat safe
            }
        }
    }

    static String read(InputStream in) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] buffer = new byte[4096];
        for (int n; in != null && (n = in.read(buffer)) >= 0; ) {
            out.write(buffer, 0, n);
        }
        return new String(out.toByteArray(), StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("sun.net.http.retryPost", "false"); // or the JDK repeats a POST by itself, with an old signature
        String now = OffsetDateTime.now(ZoneOffset.ofHours(8)).truncatedTo(ChronoUnit.SECONDS)
                .format(DateTimeFormatter.ISO_OFFSET_DATE_TIME); // 2026-11-30T21:03:00+08:00
        String visit = "visit-" + System.currentTimeMillis(); // in production the visit's key in your database
        boolean good = true;
        // In production your JSON library (Jackson, fastjson) makes the text, once.
        call("businesscircle/parkings", visit + "-in",
                "{\"openid\":\"oUpF8uMuAJOM2pxb1Q\",\"plate_number\":\"粤B888888\",\"state\":\"IN\",\"time\":\"" + now + "\"}");
        System.out.println(status + " " + answer);
        good &= status / 100 == 2;
        call("vehicle/notifications", visit + "-entry",
                "{\"trade_scene\":\"PARKING\",\"plate_number\":\"粤B888888\",\"parking_name\":\"欢乐海岸停车场\","
                        + "\"start_time\":\"" + now + "\",\"free_time\":1200}");
        System.out.println(status + " " + answer);
        good &= status / 100 == 2;
        System.exit(good ? 0 : 1);
    }
}
