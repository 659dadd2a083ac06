import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Receives and verifies the gateway's events. The environment comes from gateway.env; PORT is 9000 unless it is set. */
public class Receive {
    static final String SECRET = System.getenv("PARKING_WEBHOOK_SECRET");

    // In production a table whose unique key is webhook-id: a restart forgets this, and a second server does not see it.
    static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

    // In production your JSON library reads the verified bytes.
    static final Pattern TYPE = Pattern.compile("\"type\":\"([^\"]+)\"");

    static void receive(HttpExchange exchange) throws IOException {
        try {
            byte[] body = read(exchange.getRequestBody()); // the raw bytes; in Spring @RequestBody byte[]
            Headers headers = exchange.getRequestHeaders(); // getFirst ignores case; in a servlet request.getHeader does
            String id = headers.getFirst("webhook-id");
            if (body == null) {
                answer(exchange, 413, "refused: too long");
            } else if (!Signing.verify(SECRET, id, headers.getFirst("webhook-timestamp"),
                    headers.getFirst("webhook-signature"), body)) {
                answer(exchange, 401, "refused: not signed by the gateway");
            } else if (!SEEN.add(id)) {
                answer(exchange, 204, "duplicate " + id);
            } else {
                Matcher type = TYPE.matcher(new String(body, StandardCharsets.UTF_8));
                // Here: store it, in one transaction with its id: an id without its event makes the next delivery a duplicate, and the
                // event is lost. Then answer, and work on it afterwards: there are 10 seconds in all.
                answer(exchange, 204, "verified " + id + " " + (type.find() ? type.group(1) : "?"));
            }
        } catch (Exception e) {
            answer(exchange, 500, "failed: " + e); // the gateway sends the event again
        }
    }

    static byte[] read(InputStream in) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] buffer = new byte[4096];
        for (int n; (n = in.read(buffer)) >= 0; ) {
            out.write(buffer, 0, n);
            if (out.size() > 1 << 20) {
                return null;
            }
        }
        return out.toByteArray();
    }

    static void answer(HttpExchange exchange, int status, String line) throws IOException {
        System.out.println(line);
        exchange.sendResponseHeaders(status, -1); // nothing but the status counts
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        String port = System.getenv("PORT");
        HttpServer server = HttpServer.create(
                new InetSocketAddress("127.0.0.1", port == null ? 9000 : Integer.parseInt(port)), 0);
        server.createContext("/", Receive::receive);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
