import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.DigestMethod;
import javax.xml.crypto.dsig.Reference;
import javax.xml.crypto.dsig.SignedInfo;
import javax.xml.crypto.dsig.Transform;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMSignContext;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.crypto.dsig.keyinfo.KeyInfo;
import javax.xml.crypto.dsig.keyinfo.KeyInfoFactory;
import javax.xml.crypto.dsig.spec.C14NMethodParameterSpec;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.w3c.dom.Document;

/**
 * An oracle that shares no code with the gateway: the XML signatures of the JDK.
 *
 * <pre>
 * verify CERTIFICATE.pem FILE...                prints one line for each: true or false
 * sign KEY.pem CERTIFICATE.pem METHOD IN OUT    METHOD is a SignatureMethod URI
 * </pre>
 */
public final class XmlSignature {
    private static final XMLSignatureFactory FACTORY = XMLSignatureFactory.getInstance("DOM");

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("verify")) {
            X509Certificate certificate = certificate(arguments[1]);
            for (int index = 2; index < arguments.length; index++) {
                System.out.println(verify(certificate, document(arguments[index])));
            }
        } else {
            sign(arguments);
        }
    }

    private static boolean verify(X509Certificate certificate, Document document)
            throws Exception {
        var found = document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature");
        var context = new DOMValidateContext(certificate.getPublicKey(), found.item(0));
        context.setProperty("org.jcp.xml.dsig.secureValidation", Boolean.TRUE);
        return FACTORY.unmarshalXMLSignature(context).validate(context);
    }

    private static void sign(String[] arguments) throws Exception {
        X509Certificate certificate = certificate(arguments[2]);
        Document document = document(arguments[4]);
        Reference reference =
                FACTORY.newReference(
                        "",
                        FACTORY.newDigestMethod(DigestMethod.SHA256, null),
                        List.of(
                                FACTORY.newTransform(
                                        Transform.ENVELOPED, (TransformParameterSpec) null),
                                FACTORY.newTransform(
                                        CanonicalizationMethod.EXCLUSIVE,
                                        (TransformParameterSpec) null)),
                        null,
                        null);
        SignedInfo signedInfo =
                FACTORY.newSignedInfo(
                        FACTORY.newCanonicalizationMethod(
                                CanonicalizationMethod.EXCLUSIVE, (C14NMethodParameterSpec) null),
                        FACTORY.newSignatureMethod(arguments[3], null),
                        List.of(reference));
        KeyInfoFactory keyInfos = FACTORY.getKeyInfoFactory();
        KeyInfo keyInfo =
                keyInfos.newKeyInfo(List.of(keyInfos.newX509Data(List.of(certificate))));
        PrivateKey key = key(arguments[1], certificate.getPublicKey().getAlgorithm());
        var context = new DOMSignContext(key, document.getDocumentElement());
        FACTORY.newXMLSignature(signedInfo, keyInfo).sign(context);
        TransformerFactory.newInstance()
                .newTransformer()
                .transform(new DOMSource(document), new StreamResult(arguments[5]));
    }

    private static Document document(String path) throws Exception {
        var factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        return factory.newDocumentBuilder()
                .parse(new ByteArrayInputStream(Files.readAllBytes(Path.of(path))));
    }

    private static X509Certificate certificate(String path) throws Exception {
        var content = new ByteArrayInputStream(Files.readAllBytes(Path.of(path)));
        return (X509Certificate)
                CertificateFactory.getInstance("X.509").generateCertificate(content);
    }

    private static PrivateKey key(String path, String algorithm) throws Exception {
        String body = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----|\\s", "");
        var specification = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(body));
        return KeyFactory.getInstance(algorithm).generatePrivate(specification);
    }
}
