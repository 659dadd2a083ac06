import java.util.Base64;
import java.util.Scanner;

/** Reads lines "secret id timestamp base64(body)" and prints the sample's signature of each. */
public class Vectors {
    public static void main(String[] args) throws Exception {
        Scanner in = new Scanner(System.in, "UTF-8");
        while (in.hasNextLine()) {
            String[] line = in.nextLine().split(" ", 4);
            System.out.println(Signing.sign(line[0], line[1], Long.parseLong(line[2]), Base64.getDecoder().decode(line[3])));
        }
    }
}
