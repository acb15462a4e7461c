package nl.schuldhulp.bench;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;

/** A detached JWS (ES256, b64 false) over a body, with one Signature per thread. */
final class Es256 {
    private static final Base64.Encoder URL = Base64.getUrlEncoder().withoutPadding();
    private static final String HEADER = URL.encodeToString(
        "{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}".getBytes(StandardCharsets.US_ASCII));
    private static final byte[] BEGIN = (HEADER + ".").getBytes(StandardCharsets.US_ASCII);

    private final ThreadLocal<Signature> signatures;

    Es256(Path pem) throws Exception {
        String text = Files.readString(pem).replaceAll("-----[^-]+-----", "").replaceAll("\\s", "");
        PrivateKey key = KeyFactory.getInstance("EC")
            .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
        signatures = ThreadLocal.withInitial(() -> ready(key));
    }

    String detached(byte[] body) throws GeneralSecurityException {
        Signature signature = signatures.get();
        signature.update(BEGIN);
        signature.update(body);
        return HEADER + ".." + URL.encodeToString(signature.sign());
    }

    private static Signature ready(PrivateKey key) {
        try {
            Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
            signature.initSign(key);
            return signature;
        } catch (GeneralSecurityException problem) {
            throw new IllegalStateException(problem);
        }
    }
}
