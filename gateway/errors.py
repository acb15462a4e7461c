"""Every way a message can fail, grouped by who has to act.

    GatewayError
      Refusal    the sender must act: answered once, coded, never retried
      Fault      we or the network must act: kept, retried, alerted

Anything else is a bug: it rises, is alerted, and leaves the message where it was.
No error carries a value of the message: paths name elements, rules name checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """What a finding does: refuse the message, or travel with it as a warning."""

    WEIGER = "weiger"
    WAARSCHUW = "waarschuw"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong at one place.

    Attributes:
        rule: Stable code of the check (``patroon``, ``BSN_ELFPROEF``, …).
        path: XPath (XML) or JSON pointer (JSON) of the place; element names only.
        line: Line in the document as sent, 1 or more; None for JSON.
        nl: What a person can do about it, in Dutch; empty where the code says it all.
        en: The same in English.
    """

    rule: str
    path: str
    line: int | None = None
    severity: Severity = Severity.WEIGER
    nl: str = ""
    en: str = ""


class Code(StrEnum):
    """Stable codes of refusals: what the sender reads, and what we count."""

    # form
    XML_ONGELDIG = "XML_ONGELDIG"
    JSON_ONGELDIG = "JSON_ONGELDIG"
    DOCTYPE_VERBODEN = "DOCTYPE_VERBODEN"
    TE_GROOT = "TE_GROOT"
    MEDIATYPE_ONBEKEND = "MEDIATYPE_ONBEKEND"
    ACCEPT_ONMOGELIJK = "ACCEPT_ONMOGELIJK"
    VERZOEK_ONGELDIG = "VERZOEK_ONGELDIG"
    TE_TRAAG = "TE_TRAAG"
    # signature and identity
    HANDTEKENING_ONTBREEKT = "HANDTEKENING_ONTBREEKT"
    HANDTEKENING_ONGELDIG = "HANDTEKENING_ONGELDIG"
    HANDTEKENING_POSITIE = "HANDTEKENING_POSITIE"
    ALGORITME_VERBODEN = "ALGORITME_VERBODEN"
    CERTIFICAAT_ONBEKEND = "CERTIFICAAT_ONBEKEND"
    CERTIFICAAT_VERLOPEN = "CERTIFICAAT_VERLOPEN"
    CERTIFICAAT_ONGESCHIKT = "CERTIFICAAT_ONGESCHIKT"
    AFZENDER_WIJKT_AF = "AFZENDER_WIJKT_AF"
    TOKEN_ONGELDIG = "TOKEN_ONGELDIG"  # noqa: S105 - the name of a refusal
    # content
    SCHEMA_ONGELDIG = "SCHEMA_ONGELDIG"
    REGEL_GESCHONDEN = "REGEL_GESCHONDEN"
    BIJLAGE_ONGELDIG = "BIJLAGE_ONGELDIG"
    # the conversation
    BERICHT_CONFLICT = "BERICHT_CONFLICT"
    TIJDSTIP_BUITEN_VENSTER = "TIJDSTIP_BUITEN_VENSTER"
    ONTVANGER_ONBEKEND = "ONTVANGER_ONBEKEND"
    NIET_AANGESLOTEN = "NIET_AANGESLOTEN"
    PARTIJ_OPGEVOLGD = "PARTIJ_OPGEVOLGD"
    # rights
    GEEN_RECHT = "GEEN_RECHT"
    BIJLAGE_ONTBREEKT = "BIJLAGE_ONTBREEKT"
    BSN_NIET_TOEGESTAAN = "BSN_NIET_TOEGESTAAN"
    DOSSIERKENMERK_ONTBREEKT = "DOSSIERKENMERK_ONTBREEKT"
    VERSIE_KAN_DIT_NIET = "VERSIE_KAN_DIT_NIET"
    # where the conversation stands
    VOLGORDE_ONGELDIG = "VOLGORDE_ONGELDIG"
    VRAAG_ONBEKEND = "VRAAG_ONBEKEND"
    VRAAG_AL_BEANTWOORD = "VRAAG_AL_BEANTWOORD"
    VRAAG_VERVANGEN = "VRAAG_VERVANGEN"
    GESPREK_BEEINDIGD = "GESPREK_BEEINDIGD"
    SALDO_NOG_OPEN = "SALDO_NOG_OPEN"
    VORDERING_NIET_IN_GESPREK = "VORDERING_NIET_IN_GESPREK"
    WIJKT_AF_VAN_AKKOORD = "WIJKT_AF_VAN_AKKOORD"
    AKKOORD_VOORLOPIG = "AKKOORD_VOORLOPIG"
    TERMIJN_VOORBIJ = "TERMIJN_VOORBIJ"
    TERMIJN_LOOPT_NOG = "TERMIJN_LOOPT_NOG"
    PAUZE_BINDEND = "PAUZE_BINDEND"
    NIET_BESCHIKBAAR_GEWEEST = "NIET_BESCHIKBAAR_GEWEEST"
    # the service
    NIET_GEVONDEN = "NIET_GEVONDEN"
    METHODE_ONBEKEND = "METHODE_ONBEKEND"
    QUOTUM_BEREIKT = "QUOTUM_BEREIKT"


class Explanation(NamedTuple):
    """What a person reads about a code: HTTP status and both languages."""

    status: int
    nl: str
    en: str


EXPLANATIONS: dict[Code, Explanation] = {
    Code.XML_ONGELDIG: Explanation(
        400,
        "Het bericht is geen welgevormde XML in UTF-8 binnen de vormgrenzen. Lees het na met een XML-parser en stuur het opnieuw.",
        "The message is not well-formed UTF-8 XML within the limits of form. Check it with an XML parser and send it again.",
    ),
    Code.JSON_ONGELDIG: Explanation(
        400,
        "Het bericht is geen geldige JSON (UTF-8, geen dubbele namen, niet te diep). Herstel dit en stuur het opnieuw.",
        "The message is not valid JSON (UTF-8, no duplicate names, not too deep). Mend this and send it again.",
    ),
    Code.DOCTYPE_VERBODEN: Explanation(
        400,
        "Een DOCTYPE of entiteit mag niet in een bericht staan. Verwijder die en onderteken opnieuw.",
        "A message may not contain a DOCTYPE or entity. Remove it and sign again.",
    ),
    Code.TE_GROOT: Explanation(
        413,
        "Het bericht is groter dan is toegestaan. Verklein de bijlagen of splits het bericht.",
        "The message is larger than allowed. Make the attachments smaller or split the message.",
    ),
    Code.MEDIATYPE_ONBEKEND: Explanation(
        415,
        "Stuur application/xml of application/json, niet gecomprimeerd en in UTF-8.",
        "Send application/xml or application/json, not compressed and in UTF-8.",
    ),
    Code.ACCEPT_ONMOGELIJK: Explanation(
        406,
        "Vraag in Accept om application/json of application/xml.",
        "Ask for application/json or application/xml in Accept.",
    ),
    Code.VERZOEK_ONGELDIG: Explanation(
        400,
        "Het verzoek klopt niet; bij 'errors' staat welk veld. Herstel dat en stuur het verzoek opnieuw.",
        "The request is not right; 'errors' says which field. Mend it and send the request again.",
    ),
    Code.TE_TRAAG: Explanation(
        408,
        "Het verzoek kwam niet binnen de tijd binnen. Stuur het opnieuw.",
        "The request did not arrive in time. Send it again.",
    ),
    Code.HANDTEKENING_ONTBREEKT: Explanation(
        400,
        "Het bericht is niet ondertekend. Onderteken XML met één enveloped XMLDSig, of JSON met precies één Payload-Signature.",
        "The message is not signed. Sign XML with one enveloped XMLDSig, or JSON with exactly one Payload-Signature.",
    ),
    Code.HANDTEKENING_ONGELDIG: Explanation(
        400,
        "De handtekening klopt niet met het bericht. Onderteken als laatste stap en verander daarna niets.",
        "The signature does not match the message. Sign as the last step and change nothing afterwards.",
    ),
    Code.HANDTEKENING_POSITIE: Explanation(
        400,
        'De handtekening dekt niet precies het hele bericht. Onderteken met één Signature, direct onder het hoofdelement, met één Reference met URI="".',
        'The signature does not cover exactly the whole message. Sign with one Signature, directly under the root, with one Reference with URI="".',
    ),
    Code.ALGORITME_VERBODEN: Explanation(
        400,
        "Dit algoritme of deze transformatie is niet toegestaan. Gebruik RSA of ECDSA met SHA-256/384/512 en exclusive C14N; bij JSON PS256.",
        "This algorithm or transform is not allowed. Use RSA or ECDSA with SHA-256/384/512 and exclusive C14N; PS256 with JSON.",
    ),
    Code.CERTIFICAAT_ONBEKEND: Explanation(
        401,
        "Het certificaat is niet bij een deelnemer geregistreerd. Laat het door de beheerder toevoegen.",
        "The certificate is not registered with any participant. Ask the operator to add it.",
    ),
    Code.CERTIFICAAT_VERLOPEN: Explanation(
        401,
        "Het certificaat is verlopen of nog niet geldig. Onderteken met een geldig, geregistreerd certificaat.",
        "The certificate has expired or is not yet valid. Sign with a valid, registered certificate.",
    ),
    Code.CERTIFICAAT_ONGESCHIKT: Explanation(
        401,
        "Het certificaat mag niet voor ondertekenen worden gebruikt (keyUsage digitalSignature ontbreekt). Laat een certificaat registreren dat dat wel mag.",
        "The certificate may not be used for signing (keyUsage digitalSignature is missing). Have one registered that may.",
    ),
    Code.AFZENDER_WIJKT_AF: Explanation(
        403,
        "De ondertekenaar, de aangemelde partij en de afzender in Stuurgegevens zijn niet dezelfde. Onderteken en meld u aan als de afzender.",
        "The signer, the authenticated party and the sender in Stuurgegevens are not the same. Sign and authenticate as the sender.",
    ),
    Code.TOKEN_ONGELDIG: Explanation(
        401,
        "Er is geen geldig token. Haal er een bij POST /v1/token en stuur het als 'Authorization: Bearer …'.",
        "There is no valid token. Get one at POST /v1/token and send it as 'Authorization: Bearer …'.",
    ),
    Code.SCHEMA_ONGELDIG: Explanation(
        400,
        "Het bericht voldoet niet aan het schema van zijn soort; bij 'errors' staat waar en waarom. Herstel dat en stuur het opnieuw.",
        "The message does not satisfy the schema of its kind; 'errors' says where and why. Mend that and send it again.",
    ),
    Code.REGEL_GESCHONDEN: Explanation(
        400,
        "Het bericht is vormelijk goed, maar de inhoud kan niet kloppen; bij 'errors' staat welke regel waar. Herstel de gegevens en stuur het opnieuw.",
        "The message is well formed but its content cannot be right; 'errors' says which rule and where. Mend the data and send it again.",
    ),
    Code.BIJLAGE_ONGELDIG: Explanation(
        400,
        "Een bijlage is niet wat zij zegt te zijn: het mediatype past niet bij de inhoud, of de sha256 klopt niet. Herstel de bijlage en stuur het bericht opnieuw.",
        "An attachment is not what it says it is: its media type does not fit its content, or its sha256 is wrong. Mend the attachment and send the message again.",
    ),
    Code.BERICHT_CONFLICT: Explanation(
        409,
        "Dit referentienummer is al gebruikt voor een bericht met andere inhoud. Gebruik een nieuw referentienummer.",
        "This referentienummer was used before for a message with other content. Use a new one.",
    ),
    Code.TIJDSTIP_BUITEN_VENSTER: Explanation(
        400,
        "Het tijdstip ligt meer dan 30 dagen terug of in de toekomst. Zet de klok goed en stuur een nieuw bericht.",
        "The tijdstip is more than 30 days ago or in the future. Set the clock and send a new message.",
    ),
    Code.ONTVANGER_ONBEKEND: Explanation(
        400,
        "De ontvanger is geen deelnemer. Zoek het juiste OIN op in GET /v1/deelnemers.",
        "The recipient is not a participant. Look up the right OIN in GET /v1/deelnemers.",
    ),
    Code.NIET_AANGESLOTEN: Explanation(
        400,
        "De afzender of de ontvanger is niet op deze module aangesloten. Zoek in GET /v1/deelnemers?module=… wie dat wel is.",
        "The sender or the recipient is not connected to this module. Look in GET /v1/deelnemers?module=… who is.",
    ),
    Code.PARTIJ_OPGEVOLGD: Explanation(
        409,
        "Een van beide partijen is opgegaan in een andere; 'errors' zegt welke, en noemt het OIN van de opvolger. Stuur het bericht aan of als die opvolger, in hetzelfde gesprek.",
        "One of the two parties merged into another; 'errors' says which, and names the OIN of the successor. Send the message to or as that successor, in the same conversation.",
    ),
    Code.GEEN_RECHT: Explanation(
        403,
        "Deze partij mag dit hier niet; 'errors' noemt de regel en wat wel kan. Vraag de beheerder als uw rol of machtiging anders hoort te zijn.",
        "This party may not do this here; 'errors' names the rule and what is possible. Ask the operator if your role or mandate should be different.",
    ),
    Code.BIJLAGE_ONTBREEKT: Explanation(
        400,
        "Bij dit bericht hoort voor uw rol een bijlage; 'errors' noemt welke soort. Stuur het bericht opnieuw met die bijlage.",
        "For your role this message needs an attachment; 'errors' names which soort. Send the message again with that attachment.",
    ),
    Code.BSN_NIET_TOEGESTAAN: Explanation(
        403,
        "De ontvanger mag geen burgerservicenummer krijgen; 'errors' zegt waar er een staat en wat dan wel kan. Stuur het bericht zonder dat nummer, of de variant zonder.",
        "The recipient may not have a burgerservicenummer; 'errors' says where one stands and what is possible instead. Send the message without that number, or the variant without.",
    ),
    Code.DOSSIERKENMERK_ONTBREEKT: Explanation(
        400,
        "Een raadpleging van VISH kan alleen voor een dossier dat bij u loopt. Stuur haar opnieuw met uw dossierkenmerk en het doel.",
        "VISH can only be consulted for a case that you handle. Send the consultation again with your dossierkenmerk and the purpose.",
    ),
    Code.VERSIE_KAN_DIT_NIET: Explanation(
        400,
        "De ontvanger leest een oudere versie, en die kan niet alles zeggen wat hier staat; 'errors' noemt de velden. Laat die velden weg, of stuur het opnieuw met verliesToegestaan.",
        "The recipient reads an older version that cannot say all that stands here; 'errors' names the fields. Send it again without those fields, or with verliesToegestaan.",
    ),
    Code.VOLGORDE_ONGELDIG: Explanation(
        409,
        "Deze soort bericht kan nu niet in dit gesprek. Zie in GET /v1/gesprekken/… waar het gesprek staat en wat er nu van wie wordt verwacht.",
        "This kind of message cannot be said now in this conversation. See in GET /v1/gesprekken/… where the conversation stands and what is expected of whom.",
    ),
    Code.VRAAG_ONBEKEND: Explanation(
        409,
        "Dit bericht antwoordt op iets dat in dit gesprek niet is gevraagd. Controleer het crossReferentienummer en het conversatieReferentienummer, en stuur een nieuw antwoord.",
        "This message answers something that was not asked in this conversation. Check crossReferentienummer and conversatieReferentienummer, and send a new answer.",
    ),
    Code.VRAAG_AL_BEANTWOORD: Explanation(
        409,
        "Deze vraag is al beantwoord. Stuur een nieuwe opgave die de eerdere in 'vervangt' noemt als die niet klopte; trek een ander antwoord in met een Intrekking en antwoord opnieuw.",
        "This question was answered before. Send a new statement that names the earlier one in 'vervangt' if that was not right; recall any other answer with an Intrekking and answer again.",
    ),
    Code.VRAAG_VERVANGEN: Explanation(
        409,
        "Deze vraag is vervangen door een nieuwere; 'errors' noemt het referentienummer daarvan. Stuur het antwoord op die nieuwe vraag.",
        "This question was replaced by a newer one; 'errors' names its referentienummer. Send the answer to that newer question.",
    ),
    Code.GESPREK_BEEINDIGD: Explanation(
        409,
        "Dit gesprek is beëindigd; de inhoud van uw bericht is niet bewaard. Stuur niets meer in dit gesprek; begin voor een nieuw traject een nieuw gesprek.",
        "This conversation has ended; the content of your message was not kept. Send nothing more in it; a new trajectory begins a new conversation.",
    ),
    Code.SALDO_NOG_OPEN: Explanation(
        409,
        "Er loopt nog een saldoverzoek waarvan de termijn niet om is. Wacht op de opgave of tot de termijn om is, en doe dan het voorstel.",
        "A balance question is still open and its term is not over. Wait for the answer or until the term is over, and propose then.",
    ),
    Code.VORDERING_NIET_IN_GESPREK: Explanation(
        409,
        "Het bericht noemt een vordering die in dit gesprek niet is opgegeven of niet meer open is; 'errors' zegt welke regel. Gebruik de vorderingen uit de laatste opgave, of vraag eerst een nieuwe opgave.",
        "The message names a claim that was not stated in this conversation or is no longer open; 'errors' says which line. Use the claims of the latest statement, or ask for a new one first.",
    ),
    Code.WIJKT_AF_VAN_AKKOORD: Explanation(
        409,
        "De regeling is niet gelijk aan wat is overeengekomen; 'errors' zegt waar. Stuur de regeling zoals zij is overeengekomen, of doe eerst een nieuw voorstel.",
        "The arrangement is not equal to what was agreed; 'errors' says where. Send the arrangement as agreed, or make a new proposal first.",
    ),
    Code.AKKOORD_VOORLOPIG: Explanation(
        409,
        "Het akkoord is nog voorlopig: de schuldeiser kan nog bezwaar maken. Wacht tot de bezwaartermijn om is; GET /v1/gesprekken/… noemt de laatste dag.",
        "The consent is still provisional: the creditor may still object. Wait until the term for objections is over; GET /v1/gesprekken/… names its last day.",
    ),
    Code.TERMIJN_VOORBIJ: Explanation(
        409,
        "De termijn hiervoor is om. Zie in GET /v1/gesprekken/… wat er nu nog kan.",
        "The term for this is over. See in GET /v1/gesprekken/… what is still possible.",
    ),
    Code.TERMIJN_LOOPT_NOG: Explanation(
        409,
        "De termijn van deze vraag is nog niet om; 'errors' noemt de laatste dag. Vraag de verklaring opnieuw als die dag voorbij is.",
        "The term of this question is not over yet; 'errors' names its last day. Ask for the statement again once that day has passed.",
    ),
    Code.PAUZE_BINDEND: Explanation(
        409,
        "Deze pauze berust op de wet of op een rechter en kan niet worden geweigerd of bekort. Stuur het antwoord opnieuw zonder weigering.",
        "This pause rests on law or on a court and cannot be refused or shortened. Send the answer again without the refusal.",
    ),
    Code.NIET_BESCHIKBAAR_GEWEEST: Explanation(
        409,
        "De vraag heeft niet de hele termijn voor de ontvanger klaargelegen, dus er is geen verklaring dat een reactie uitbleef. Vraag in plaats daarvan de verklaring NIET_BEREIKBAAR, of stel de vraag opnieuw.",
        "The question did not lie ready for its recipient during the whole term, so there is no statement that a reaction failed to come. Ask for the statement NIET_BEREIKBAAR instead, or put the question again.",
    ),
    Code.NIET_GEVONDEN: Explanation(
        404,
        "Dit bestaat hier niet voor u. Controleer het adres, het kenmerk en de partij van het token.",
        "This does not exist here for you. Check the address, the id and the party of the token.",
    ),
    Code.METHODE_ONBEKEND: Explanation(
        405,
        "Deze methode bestaat hier niet. Zie /v1/openapi.json.",
        "This method does not exist here. See /v1/openapi.json.",
    ),
    Code.QUOTUM_BEREIKT: Explanation(
        429,
        "Er kwamen te veel berichten tegelijk van deze partij. Wacht zo lang als Retry-After zegt.",
        "Too many messages came from this party at once. Wait as long as Retry-After says.",
    ),
}


LARGEST_NUMBER_OF_FINDINGS = 100
"""A refusal names at most so many places."""


class GatewayError(Exception):
    """Anything that is expected to go wrong."""


class Refusal(GatewayError):
    """The sender must change something; nothing was recorded but this fact.

    Attributes:
        code: What the sender, the log and the metrics carry.
        findings: At most 100 places, never a value.
        retry_after: Seconds after which the same message may be sent again, if ever.
        party: Whose it was, as the station verify found; a str OIN. None for strangers.
        referentienummer: Of the refused message, once its form was validated.
    """

    def __init__(self, code: Code, *findings: Finding, retry_after: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.findings = findings[:LARGEST_NUMBER_OF_FINDINGS]
        self.retry_after = retry_after
        self.party: str | None = None
        self.referentienummer: str | None = None


class Fault(GatewayError):
    """We or the network must act; the same call may succeed later.

    Attributes:
        retry_after: Seconds after which it makes sense to try again.
    """

    def __init__(self, what: str, *, retry_after: int = 5) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class LedgerUnavailable(Fault):
    """The ledger did not answer; nothing was recorded."""


class Overloaded(Fault):
    """The bounded queue before the ledger is full; nothing was recorded."""


class BrokerUnavailable(Fault):
    """The broker did not take or confirm a message."""
