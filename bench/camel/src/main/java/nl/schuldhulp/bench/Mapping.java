package nl.schuldhulp.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;

/** The verified document as JSON: lowerCamelCase, amounts in cents, lists as arrays. */
record Mapping(String kind, String reference, String sender, String recipient, byte[] json) {
    private static final Set<String> LISTS = Set.of("Vorderingen");
    private static final Set<String> FLAGS = Set.of("Zakelijk", "Betwist");
    private static final Set<String> AMOUNTS =
        Set.of("OorspronkelijkeVordering", "Rente", "Incassokosten", "Saldo", "TotaalSaldo");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final XMLInputFactory READERS = XMLInputFactory.newInstance();

    static {
        READERS.setProperty(XMLInputFactory.SUPPORT_DTD, false);
    }

    @SuppressWarnings("unchecked")
    static Mapping of(byte[] xml) throws Exception {
        XMLStreamReader reader = READERS.createXMLStreamReader(new ByteArrayInputStream(xml));
        reader.nextTag();
        String kind = reader.getLocalName();
        Map<String, Object> body = (Map<String, Object>) value(reader, kind);
        Map<String, Object> header = (Map<String, Object>) body.get("stuurgegevens");
        return new Mapping(
            kind,
            (String) header.get("referentienummer"),
            ((Map<String, String>) header.get("afzender")).get("oin"),
            ((Map<String, String>) header.get("ontvanger")).get("oin"),
            JSON.writeValueAsBytes(Map.of(lower(kind), body)));
    }

    private static Object value(XMLStreamReader reader, String name) throws XMLStreamException {
        StringBuilder text = new StringBuilder();
        Map<String, Object> children = new LinkedHashMap<>();
        List<Object> list = new ArrayList<>();
        while (reader.next() != XMLStreamConstants.END_ELEMENT) {
            if (reader.isStartElement()) {
                String child = reader.getLocalName();
                Object found = value(reader, child);
                list.add(found);
                children.put(AMOUNTS.contains(child) ? lower(child) + "InCenten" : lower(child), found);
            } else if (reader.isCharacters()) {
                text.append(reader.getText());
            }
        }
        if (LISTS.contains(name)) {
            return list;
        }
        return children.isEmpty() ? leaf(name, text.toString()) : children;
    }

    private static Object leaf(String name, String text) {
        if (AMOUNTS.contains(name)) {
            return new BigDecimal(text).movePointRight(2).longValueExact();
        }
        return FLAGS.contains(name) ? (Object) Boolean.valueOf(text) : text;
    }

    private static String lower(String name) {
        return Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }
}
