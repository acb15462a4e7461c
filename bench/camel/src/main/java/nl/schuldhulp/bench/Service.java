package nl.schuldhulp.bench;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import io.vertx.core.VertxOptions;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PublicKey;
import java.security.cert.CertificateFactory;
import java.util.UUID;
import javax.xml.crypto.KeySelector;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.main.Main;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;

/** Contestant (d): the indispensable work as an Apache Camel route; see bench/README.md. */
public final class Service extends RouteBuilder {
    private static final int WORKERS = 64;
    private static final int DATABASE_CONNECTIONS = 16;
    private static final String ANSWER = "application/json";

    private final Es256 es256;

    private Service(Es256 es256) {
        this.es256 = es256;
    }

    /** Runs until it is ended; everything it needs stands in BENCH_* variables. */
    public static void main(String[] arguments) throws Exception {
        Main main = new Main();
        main.addInitialProperty("camel.server.enabled", "true");
        main.addInitialProperty("camel.server.host", "127.0.0.1");
        main.addInitialProperty("camel.server.port", setting("PORT"));
        main.addInitialProperty("camel.main.jmxEnabled", "false");
        main.bind("vertxOptions", new VertxOptions().setWorkerPoolSize(WORKERS));
        main.bind("senderKey", KeySelector.singletonKeySelector(senderKey()));
        main.bind("dataSource", database());
        main.bind("broker", broker());
        main.configure().addRoutesBuilder(new Service(new Es256(Path.of(setting("KEY")))));
        main.run(arguments);
    }

    @Override
    public void configure() {
        String schema = Path.of(setting("XSD")).toUri().toString();
        onException(Exception.class).handled(true)
            .log("${exception.message}")
            .setHeader(Exchange.HTTP_RESPONSE_CODE, constant(400))
            .setBody(constant("{}"));
        from("platform-http:/v1/berichten?httpMethodRestrict=POST")
            .convertBodyTo(byte[].class)
            .setProperty("original", body())
            .to("xmlsecurity-verify:sender?keySelector=#senderKey&removeSignatureElements=true")
            .to("validator:" + schema)
            .process(this::translate)
            .process(this::sign)
            .to("sql:insert into bericht values (:#${exchangeProperty.id}, :#${exchangeProperty.sender},"
                + " :#${exchangeProperty.recipient}, :#${exchangeProperty.kind}, now(),"
                + " :#${exchangeProperty.original}, :#${body})?dataSource=#dataSource&noop=true")
            .removeHeaders("*", "payload-signature")
            .to("spring-rabbitmq:default?connectionFactory=#broker&routingKey=" + setting("QUEUE")
                + "&confirm=enabled&confirmTimeout=30000&exchangePattern=InOnly")
            .removeHeaders("*")
            .setHeader(Exchange.HTTP_RESPONSE_CODE, constant(202))
            .setHeader(Exchange.CONTENT_TYPE, constant(ANSWER))
            .setBody(simple("{\"id\":\"${exchangeProperty.id}\"}"));
    }

    private void translate(Exchange exchange) throws Exception {
        Mapping mapping = Mapping.of(exchange.getMessage().getBody(byte[].class));
        exchange.setProperty("id", UUID.fromString(mapping.reference()));
        exchange.setProperty("sender", mapping.sender());
        exchange.setProperty("recipient", mapping.recipient());
        exchange.setProperty("kind", mapping.kind());
        exchange.getMessage().setBody(mapping.json());
    }

    private void sign(Exchange exchange) throws Exception {
        byte[] body = exchange.getMessage().getBody(byte[].class);
        exchange.getMessage().setHeader("payload-signature", es256.detached(body));
    }

    private static HikariDataSource database() {
        URI address = URI.create(setting("DATABASE"));
        HikariConfig settings = new HikariConfig();
        settings.setJdbcUrl("jdbc:postgresql://" + address.getHost() + ":" + address.getPort() + address.getPath());
        settings.setUsername(address.getUserInfo());
        settings.setMaximumPoolSize(DATABASE_CONNECTIONS);
        settings.addDataSourceProperty("prepareThreshold", "1");
        return new HikariDataSource(settings);
    }

    private static CachingConnectionFactory broker() throws Exception {
        CachingConnectionFactory factory = new CachingConnectionFactory(URI.create(setting("BROKER")));
        factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.SIMPLE);
        factory.setChannelCacheSize(WORKERS);
        return factory;
    }

    private static PublicKey senderKey() throws Exception {
        try (InputStream pem = Files.newInputStream(Path.of(setting("CERTIFICATE")))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(pem).getPublicKey();
        }
    }

    private static String setting(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalStateException("BENCH_" + name + " is not set");
        }
        return value;
    }
}
