// Classify an image file with Java 11 or newer; no library is needed.
//
//     java examples/image_files/Classify.java http://localhost:8000 pets cat.jpg
//
// The model must be published with `camserve publish --image-files`, see docs/image-files.md. Prints the JSON of the answer.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;

public class Classify {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("usage: java Classify.java SERVER MODEL FILE");
            System.exit(2);
        }
        byte[] image = Files.readAllBytes(Path.of(arguments[2]));
        String text = Base64.getEncoder().encodeToString(image);
        HttpRequest request = HttpRequest.newBuilder()
            .uri(URI.create(arguments[0] + "/v2/models/" + arguments[1] + "_file/generate"))
            .timeout(Duration.ofSeconds(30))
            .POST(HttpRequest.BodyPublishers.ofString("{\"image_file\": \"" + text + "\", \"top\": 3}"))
            .build();
        HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            System.err.println(arguments[2] + ": " + response.body());
            System.exit(1);
        }
        System.out.println(response.body());
    }
}
